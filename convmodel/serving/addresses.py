"""Addresses that almost exist, and their methods: the remedies of the errors 404 and 405."""

import re
from collections.abc import Mapping

from fastapi import FastAPI

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
"""Addresses of APIs that are not here: of which one, and the address with the same use."""


def remedy(app: FastAPI, path: str) -> str:
    """Return the address that a request of an unknown one may have meant, as the end of an error's message."""
    path = path[:1000]
    for pattern, (name, address) in OTHER_APIS.items():
        if re.fullmatch(pattern, path):
            return f"the API of {name} is not here; use {address}, in OpenAI's format"
    near = _near_address(app, path)
    return f"did you mean {near}?" if near else "/docs lists all addresses"


def methods_of(app: FastAPI, path: str) -> str | None:
    """Return the methods of an address; the framework's own Allow header names those of one route only."""
    template = _template(app, path)
    if template is None:
        return None
    methods = {method.upper() for method in app.openapi()["paths"][template]}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _near_address(app: FastAPI, path: str) -> str | None:
    """Return the address of which a path is a variation: without /v1, with another prefix, or with a slash behind."""
    parts = [part for part in path.split("/") if part]
    for first in range(len(parts)):
        tail = "/".join(parts[first:])
        for near in (f"/v1/{tail}", f"/{tail}"):
            if _template(app, near) is not None:
                return near
    return None


def _template(app: FastAPI, requested: str) -> str | None:
    """Return the path of the description that matches a requested one."""
    paths: Mapping[str, Mapping[str, object]] = app.openapi()["paths"]
    for path in [requested, *paths]:
        if path in paths and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), requested):
            return path
    return None
