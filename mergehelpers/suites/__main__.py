"""`python -m mergehelpers.suites build mini8 --sources DIR`: rebuild a bundled suite."""

import argparse
import sys
from pathlib import Path

from mergehelpers.suites import DATA
from mergehelpers.suites.build import mini8, text5

BUILDERS = {"mini8": mini8, "text5": text5}
parser = argparse.ArgumentParser(prog="python -m mergehelpers.suites", description=__doc__)
commands = parser.add_subparsers(required=True)
build = commands.add_parser("build", help="make the data, train the models and write the suite's files")
build.add_argument("suite", choices=sorted(BUILDERS))
build.add_argument("--sources", type=Path, required=True, help="folder with the source archives")
build.add_argument("--work", type=Path, help="where finished parts are kept (default: _build/suites/NAME; one folder a seed)")
build.add_argument("--out", type=Path, help="where the suite is written (default: the package's own data)")
build.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
# Parts made with another seed must not be taken up.
work = (arguments.work or Path("_build/suites") / arguments.suite) / f"seed-{arguments.seed}"
out = arguments.out or DATA / arguments.suite
try:
    BUILDERS[arguments.suite].build(arguments.sources, work, out, arguments.seed)
except (OSError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
except KeyboardInterrupt:
    sys.exit(f"\ninterrupted; finished parts are in {work}, and the same command goes on from there")
