"""Shapes of conversations: the names under which JSON objects and rows of tables hold turns, messages and pairs."""
