"""Commands, the chat and bulk jobs: `python -m convmodel`."""
