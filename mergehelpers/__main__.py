"""`python -m mergehelpers merge SPEC OUT` merges models from files to files; `rules` lists how."""

import argparse
import signal
import sys


def main() -> None:
    """Parse the command line, report, merge; errors and interrupts end in one line."""
    parser = argparse.ArgumentParser(prog="python -m mergehelpers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    merge = commands.add_parser(
        "merge", help="merge the models that a spec names into a new folder"
    )
    merge.add_argument("spec", help="a TOML file: rule, base, experts, [settings]")
    merge.add_argument("out", help="the folder to be made")
    merge.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything but the values, and say what the merge will need",
    )
    commands.add_parser("rules", help="list the merging rules and their settings")
    options = parser.parse_args()
    # Batch systems send the one, a closed terminal the other; what was begun must be deleted too.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP, and nohup ignores it
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        if options.command == "rules":
            from mergehelpers import merge as rules

            print(rules.table(rules.RULES))
            return
        from mergehelpers import specs, stream  # takes seconds, in which one may press Ctrl-C

        stream.place(options.out)
        job = specs.read_spec(options.spec)
        print(job.report())
        if options.dry_run:
            stream.check_room(job, options.out)
        else:
            print(stream.run(job, options.out))
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; nothing was written")


if __name__ == "__main__":
    main()
