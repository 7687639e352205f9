"""Responders, which reply to contexts by generation, by selection among candidates, or by both."""
