"""Telegram bot that talks to a convmodel server over HTTP."""
