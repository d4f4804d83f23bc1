"""What the subcommands of `nbhelpers` do on the screen. `nbhelpers.course.cli` reads their arguments.

`run` runs lessons with progress bars, `tables` prints tables, `options` has the options of `train`, `evaluate` and
`predict`, and `own_data` prints what these found.
"""
