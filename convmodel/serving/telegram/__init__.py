"""Telegram bot whose replies come from a convmodel server over HTTP."""
