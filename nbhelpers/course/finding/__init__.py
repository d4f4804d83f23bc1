"""`nbhelpers search`: from a file of texts to an index that answers questions.

The files: `command` is the subcommand, `indexing` makes and loads an index, `app` serves it with a page.
"""
