"""Conversations that the server keeps: their turns, what is known of them, and the replies that are made in them."""
