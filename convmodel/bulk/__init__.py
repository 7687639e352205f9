"""A file of conversations in, a file of replies out; goes on after a kill where it was."""
