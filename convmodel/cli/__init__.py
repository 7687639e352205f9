"""The command line `python -m convmodel`: its commands, the chat in the terminal, and batch jobs."""
