"""What the subcommands of `nbhelpers` do on the screen. `nbhelpers.course.cli` reads their arguments.

`run` runs lessons with progress bars, `tables` prints tables.
"""
