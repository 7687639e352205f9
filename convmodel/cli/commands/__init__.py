"""The sub-commands of `python -m convmodel`, one module each."""
