"""`python -m mergehelpers merge SPEC OUT`: merge models from files to files."""

import argparse
import sys

from mergehelpers import stream

parser = argparse.ArgumentParser(prog="python -m mergehelpers", description=__doc__)
commands = parser.add_subparsers(required=True)
merge = commands.add_parser("merge", help="merge the models that a spec names into a new folder")
merge.add_argument("spec", help="a TOML file: rule, base, experts, [settings]")
merge.add_argument("out", help="the folder to be made")
merge.add_argument("--dry-run", action="store_true", help="check everything but the values, and say what the merge will need")
arguments = parser.parse_args()
try:
    job = stream.read(arguments.spec)
    print(job.report())
    if not arguments.dry_run:
        stream.run(job, arguments.out)
except (OSError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
except KeyboardInterrupt:
    sys.exit("\ninterrupted; nothing was written")
