"""Shapes of conversations: the keys under which JSON objects and rows of tables hold turns, messages and pairs."""
