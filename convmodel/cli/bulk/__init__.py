"""A file of conversations or prompts in, a file of replies or texts out; goes on after a kill where it was."""
