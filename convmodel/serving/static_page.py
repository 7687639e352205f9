"""The files of the web page in, a router that serves them out."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What a file is, by the end of its name. A file of another kind is not served."""

POLICY = "; ".join(
    [
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Only our own files are loaded and run, nobody frames the page, and no text can become HTML."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

ASKED_AGAIN = "no-cache"
"""May be kept, but the server is asked whether it is still the newest."""

KEPT = "public, max-age=31536000, immutable"
"""The address changes with the content, so nobody needs to ask."""


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file of the page.

    Args:
        content: its bytes.
        media_type: for the browser.
        etag: changes with the content.
    """

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "WebFile":
        """The file of a name; its kind must be one of `TYPES`."""
        suffix = name[name.rindex(".") :]
        return cls(content, TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def web_files() -> tuple[str, Mapping[str, WebFile]]:
    """The digest of all files together, and each by its name.

    `index.html` names the others with the digest in their addresses: whoever has a page has its own files to it, and
    keeps them for as long as they stay the same.
    """
    folder = resources.files(__package__) / "web"
    contents = {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.is_file() and path.name.endswith(tuple(TYPES))
    }
    digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:16]
    contents["index.html"] = re.sub(rb'="web/', f'="web/{digest}/'.encode(), contents["index.html"])
    return digest, {name: WebFile.of(name, content) for name, content in contents.items()}


def page_router() -> APIRouter:
    """`GET /`, the page; `GET /web/...`, its files. Neither needs a key: nothing of anybody is in them."""
    digest, files = web_files()
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(request, files["index.html"], ASKED_AGAIN)

    @router.api_route("/web/{name}", methods=["GET", "HEAD"])
    async def newest(request: Request, name: str) -> Response:
        return _answer(request, _file(files, name), ASKED_AGAIN)

    @router.api_route("/web/{asked}/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, asked: str, name: str) -> Response:
        # Another digest is that of a page from before an update: it gets what there is now.
        return _answer(request, _file(files, name), KEPT if asked == digest else ASKED_AGAIN)

    return router


def _file(files: Mapping[str, WebFile], name: str) -> WebFile:
    if name not in files or name == "index.html":
        raise HTTPException(404, "There is no such file.")
    return files[name]


def _answer(request: Request, file: WebFile, caching: str) -> Response:
    headers = {**HEADERS, "Cache-Control": caching, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
