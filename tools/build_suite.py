"""Rebuild a bundled suite: `python tools/build_suite.py mini8 --sources DIR`."""

import argparse
import sys
from pathlib import Path

from builders import mini8, random_heads, text5

from mergehelpers.suites import DATA

BUILDERS = {"mini8": mini8, "text5": text5, "text5-random-heads": random_heads}


def main() -> None:
    """Make the data, train the models and write the suite's files; errors end in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(BUILDERS))
    parser.add_argument(
        "--sources", type=Path, default=Path("."), help="folder of source archives (default: this)"
    )
    parser.add_argument("--work", type=Path, help="folder that keeps finished parts")
    parser.add_argument("--out", type=Path, help="where the suite goes (default: the package)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Parts made with another seed must not be taken up.
    work = (options.work or Path("_build/suites") / options.suite) / f"seed-{options.seed}"
    out = options.out or DATA / options.suite
    try:
        BUILDERS[options.suite].build(options.sources, work, out, options.seed)
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"\ninterrupted; finished parts are in {work}; the same command goes on from them")


if __name__ == "__main__":
    main()
