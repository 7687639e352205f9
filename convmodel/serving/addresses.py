"""Suggestions of paths and methods for the messages of errors 404 and 405."""

import re
from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.routing import APIRoute

CHAT = "/v1/chat/completions"
TEXTS = "/v1/completions"
VECTORS = "/v1/embeddings"

OTHER_APIS: Mapping[str, tuple[str, str]] = {
    "/api/chat": ("Ollama", CHAT),
    "/api/generate": ("Ollama", TEXTS),
    "/api/(embed|embeddings)": ("Ollama", VECTORS),
    "/api/(tags|ps|show|version)": ("Ollama", "/v1/models"),
    "/v1/(responses|threads|assistants)(/.*)?": ("OpenAI's Responses and Assistants", CHAT),
    r".*/models/[^/]+:(streamG|g)enerateContent": ("Gemini", CHAT),
    "/v[12]/chat": ("Cohere", CHAT),
    "/v1/generate": ("Cohere", TEXTS),
    "/v[12]/embed": ("Cohere", VECTORS),
    "/(completion|infill|generate|generate_stream)": ("llama.cpp and TGI", TEXTS),
    "/api/v1/generate|/api/extra/generate/stream": ("KoboldAI", TEXTS),
    "/(embed|embedding)": ("llama.cpp and TEI", VECTORS),
}
"""Patterns of paths of unsupported APIs, each with the API's name and the supported path for the same purpose."""


def remedy(app: FastAPI, path: str) -> str:
    """Return a suggestion for an unknown path, as the end of an error message."""
    path = path[:1000]
    for pattern, (name, address) in OTHER_APIS.items():
        if re.fullmatch(pattern, path):
            return f"the API of {name} is not here; use {address}, in OpenAI's format"
    near = _near_address(app, path)
    return f"did you mean {near}?" if near else "/docs lists all addresses"


def methods_of(app: FastAPI, path: str) -> str | None:
    """Return the methods of all routes of a path, separated by commas; None if there is no such route.

    The Allow header set by the framework lists only the methods of one route.
    """
    methods = {method for route in _routes_to(app, path) for method in route.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))) or None


def _near_address(app: FastAPI, path: str) -> str | None:
    """Return an existing path that differs from a given path only in its prefix or slashes, or None.

    Leading segments are removed one by one, and /v1 is prepended.
    """
    parts = [part for part in path.split("/") if part]
    for first in range(len(parts)):
        tail = "/".join(parts[first:])
        for near in (f"/v1/{tail}", f"/{tail}"):
            if _routes_to(app, near):
                return near
    return None


def _routes_to(app: FastAPI, path: str) -> list[APIRoute]:
    """Return the routes in the API description that match a path."""
    routes = (route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema)
    return [route for route in routes if route.path_regex.fullmatch(path)]
