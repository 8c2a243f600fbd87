"""The command line: one file per verb; a verb's docstring is its manual page."""
