"""Interactive chat with a responder in a terminal or through a pipe; imports no model code."""
