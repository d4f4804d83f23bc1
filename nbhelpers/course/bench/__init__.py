"""`nbhelpers bench`: how fast training, serving, predicting and reading are here, beside other ways to do them.

All ways take turns in one run, so that a busy moment of the machine affects all of them alike. `command` is the
command. `train`, `serve`, `predict` and `data` have the ways of each benchmark, and `sample` draws the texts.
`comparing` lets ways take turns, and `reporting` says, draws and records what was found. `ceiling` times the matrix
products of a model alone, and `profiling` tells where the rest of the time goes. `meter` measures training steps, of
others as well; `servers` are services of others, and `load` is the client of all services.
"""
