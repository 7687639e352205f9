"""A router that serves the files of the web page."""

import hashlib
import re
from functools import cache
from importlib import resources
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Media types by file name suffix. Files with other suffixes are not served."""

POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy: browsers load only files of this server, do not show the page in frames of other sites, and
do not convert text to HTML in scripts."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

REVALIDATE = "no-cache"
"""Cache-Control of URLs whose content may change: a browser revalidates its cached copy before each use."""

IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of URLs that contain a digest of the content, so that their content never changes."""


class WebFile(NamedTuple):
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str
    """Value of the ETag header: a digest of the content, in quotation marks."""


def read_web_files() -> tuple[str, dict[str, WebFile]]:
    """Return the digest of all files together, and the files by their names.

    `index.html` refers to the other files by URLs with the digest, so that a page always loads files of its own
    version, and the browser caches them until they change.
    """
    folder = resources.files(__package__) / "web"
    contents = {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.is_file() and path.name.endswith(tuple(TYPES))
    }
    digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:16]
    contents["index.html"] = re.sub(rb'="web/', f'="web/{digest}/'.encode(), contents["index.html"])
    return digest, {
        name: WebFile(content, TYPES[name[name.rindex(".") :]], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        for name, content in contents.items()
    }


@cache
def page_router() -> APIRouter:
    """Return a router for the page, `GET /`, and its files, `GET /web/...`. Both need no API key."""
    digest, files = read_web_files()
    index = files.pop("index.html")
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> Response:
        return _respond(request, index, REVALIDATE)

    @router.get("/web/{name}")
    async def current_file(request: Request, name: str) -> Response:
        return _respond(request, files.get(name), REVALIDATE)

    @router.get("/web/{requested}/{name}")
    async def versioned_file(request: Request, requested: str, name: str) -> Response:
        # A page loaded before an update of the server requests files with an old digest, and gets the current files.
        return _respond(request, files.get(name), IMMUTABLE if requested == digest else REVALIDATE)

    return router


def _respond(request: Request, file: WebFile | None, cache_control: str) -> Response:
    if file is None:
        raise HTTPException(404, "There is no such file.")
    headers = {**HEADERS, "Cache-Control": cache_control, "ETag": file.etag}
    cached = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in cached or "*" in cached:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
