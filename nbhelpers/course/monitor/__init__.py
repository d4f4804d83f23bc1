"""What `nbhelpers monitor` does: a classifier, the unit `alerts` and a page, joined to a monitor of a news stream.

The files: `command` has the options, `reading` takes sentences line by line, `following` classifies, watches and
delivers, `page` and `pictures` write the page, `app` serves it, and `stream` reads the sentences of the lesson.
"""
