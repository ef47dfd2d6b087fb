"""`python -m mergehelpers.suites build text4 --sources DIR`: rebuild a bundled suite."""

import argparse
from pathlib import Path

from mergehelpers.suites import DATA, text4

parser = argparse.ArgumentParser(prog="python -m mergehelpers.suites", description=__doc__)
commands = parser.add_subparsers(required=True)
build = commands.add_parser("build", help="train the experts and write the suite's files")
build.add_argument("suite", choices=["text4"])
build.add_argument("--sources", type=Path, required=True, help="folder with " + " and ".join(text4.SOURCES))
build.add_argument("--work", type=Path, default=Path("_build/suites/text4"), help="where finished experts are kept")
build.add_argument("--out", type=Path, default=DATA / "text4")
build.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
text4.build(arguments.sources, arguments.work, arguments.out, arguments.seed)
