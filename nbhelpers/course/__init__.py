"""The upper floor: it runs the lessons, measures the results tables, and is the command line `nbhelpers`.

It may import the units of the ground floor. No unit imports it, so that each unit can be copied without the course.
"""

import sys


def main() -> None:
    """The command `nbhelpers`. Ctrl+C ends it without a traceback, also while its modules are imported."""
    try:
        from nbhelpers.course import cli

        cli.main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
