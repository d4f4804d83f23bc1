"""The upper floor: runs the lessons, measures, and is the command line. No helper file imports it."""
