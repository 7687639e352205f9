"""Options of a command line in, an exit status out: one file for each command of `python -m convmodel`."""
