"""The upper floor: it runs the lessons, measures the results tables, and is the command line `nbhelpers`.

It may import the units of the ground floor. No unit imports it, so that each unit can be copied without the course.
"""
