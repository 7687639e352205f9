"""Tiny selectors in memory."""

from tests.conftest import MakeSelector

__all__ = ["MakeSelector"]
