"""Routes in, their description out: what this server takes, and a page to read it and to try it, without a network."""

from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

import convmodel
from convmodel.serving.errors import APIError
from convmodel.serving.request_options import OFF
from convmodel.serving.service import Service

DESCRIPTION = """\
Replies of a conversation model, over HTTP and as server-sent events.

Every error has one shape, `{"error": {"message", "type", "param", "code"}}`; every answer has an `X-Request-Id`. Fields
that there are not are errors. Streams say `: ` when nothing else is to be said.
"""

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>convmodel: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/begin.js"></script>
</body></html>
"""

BEGIN = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

KINDS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@router.get("/docs")
async def docs() -> Response:
    """The page."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": CSP})


@router.get("/docs/begin.js")
async def begin() -> Response:
    """What begins the page; by itself, so that no script need stand in it."""
    return Response(BEGIN, media_type="text/javascript")


@router.get("/docs/{name}")
def file(name: str) -> Response:
    """Swagger UI's own files, from the package that holds them."""
    if name not in KINDS:
        raise APIError(404, "there is no such file; see /docs", code="not_found")
    content = (resources.files("fastapi_swagger") / "resources" / name).read_bytes()
    return Response(content, media_type=KINDS[name], headers={"Cache-Control": "max-age=86400"})


class Description:
    """What /openapi.json tells: made when it is first asked for, and anew when keys come to be needed."""

    def __init__(self, app: FastAPI, service: Service) -> None:
        self._app, self._service = app, service
        self._made: dict[bool, dict[str, Any]] = {}

    def __call__(self) -> dict[str, Any]:
        required = self._service.keys.required
        if required not in self._made:
            self._made[required] = describe(self._app, self._service)
        return self._made[required]


def describe(app: FastAPI, service: Service) -> dict[str, Any]:
    """The application as OpenAPI has it, with the names of this server's model and presets."""
    described = get_openapi(
        title="convmodel",
        version=convmodel.__version__,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name} for name in ("Replies", "Conversations", "Documents", "OpenAI", "Server")],
    )
    schemas = described["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in described["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # such errors are 400 here
    _narrow(schemas, service)
    if service.keys.required:
        described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
    return described


def _narrow(schemas: dict[str, Any], service: Service) -> None:
    """Says what this server alone has or allows."""
    settings = service.settings
    of_documents = service.presets if service.documents is None else service.documents.writer.presets
    for name, schema in schemas.items():
        fields = schema.get("properties", {})
        if "preset" in fields and "additionalProperties" in schema:
            presets = of_documents if name == "DocumentRequest" else service.presets
            fields["preset"]["anyOf"][0]["enum"] = [OFF, *presets]
    schemas["ChatRequest"]["properties"]["model"]["enum"] = [service.model]
    options = schemas["Options"]["properties"]
    most = {"max_new_tokens": settings.new_tokens, "num_return_sequences": settings.n, "num_candidates": settings.k}
    for name, limit in most.items():
        options[name]["anyOf"][0]["maximum"] = limit
    if not settings.beams:
        del options["num_beams"]
    for body, name, limit in (
        ("ChatRequest", "n", settings.n),
        ("ChatRequest", "max_tokens", settings.new_tokens),
        ("ChatRequest", "max_completion_tokens", settings.new_tokens),
    ):
        schemas[body]["properties"][name]["anyOf"][0]["maximum"] = limit
    schemas["DocumentRequest"]["properties"]["n"]["maximum"] = settings.n
    schemas["SearchRequest"]["properties"]["k"]["maximum"] = settings.k
