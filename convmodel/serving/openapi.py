"""The OpenAPI description of the server, and a page that shows it in Swagger UI and works without the internet."""

from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

import convmodel
from convmodel.serving.errors import APIError
from convmodel.serving.request_options import OFF, option_limits
from convmodel.serving.service import Service

DESCRIPTION = """\
Replies of a conversation model, over HTTP and as server-sent events.

All errors have the format `{"error": {"message", "type", "param", "code"}}`, with further fields in the APIs of
Anthropic and Cohere; all responses have an `X-Request-Id`.
Unknown fields are errors in convmodel's own API. In the APIs of OpenAI, Anthropic, Jina and Cohere, they are ignored
and named in the response header `X-Convmodel-Ignored`. While there is no event to send, streams send the comment `: `.
"""

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>convmodel: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/begin.js"></script>
</body></html>
"""

BEGIN = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'
"""Content of begin.js. It is a separate file, because the page's Content-Security-Policy forbids inline scripts."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

MEDIA_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@router.get("/docs")
async def docs() -> Response:
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": CSP})


@router.get("/docs/{name}")
def file(name: str) -> Response:
    """Return a file of Swagger UI, from the package fastapi-swagger, or the script that starts Swagger UI."""
    if name == "begin.js":
        return Response(BEGIN, media_type="text/javascript")
    if name not in MEDIA_TYPES:
        raise APIError(404, "there is no such file; see /docs", code="not_found")
    content = (resources.files("fastapi_swagger") / "resources" / name).read_bytes()
    return Response(content, media_type=MEDIA_TYPES[name], headers={"Cache-Control": "max-age=86400"})


WITH_MODEL = (
    *("ChatRequest", "CompletionsRequest", "EmbeddingsRequest"),
    *("CountRequest", "MessagesRequest", "RerankRequest"),
    *("ReplyRequestBody", "NewConversation", "ConversationChange"),
)
"""Schemas with a field `model`, the name of the model."""

TAGS = ("Replies", "Conversations", "Documents", "OpenAI", "Anthropic", "Rerank", "Server")


def openapi_of(app: FastAPI, service: Service) -> Callable[[], dict[str, Any]]:
    """Return a function that returns the OpenAPI description of an application.

    The description is built at the first call, and again when API keys become required.
    """
    describe_once = cache(partial(describe, app, service))
    return lambda: describe_once(keys_required=service.keys.required)


def describe(app: FastAPI, service: Service, *, keys_required: bool) -> dict[str, Any]:
    """Return the OpenAPI description of an application, with the limits, models and presets of its service."""
    description = get_openapi(
        title="convmodel",
        version=convmodel.__version__,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name} for name in TAGS],
    )
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in description["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # validation errors are 400 here
    _add_limits(schemas, service)
    if keys_required:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
    return description


def _add_limits(schemas: dict[str, Any], service: Service) -> None:
    """Add the limits, model names and presets of a service to the schemas, in place."""
    settings = service.settings
    document_presets = service.presets if service.documents is None else service.documents.writer.presets
    for name, schema in schemas.items():
        fields = schema.get("properties", {})
        if "preset" in fields and "additionalProperties" in schema:
            presets = document_presets if name in ("DocumentRequestBody", "CompletionsRequest") else service.presets
            fields["preset"]["anyOf"][0]["enum"] = [OFF, *presets]
    options = schemas["Options"]["properties"]
    for name, limit in option_limits(service).items():
        options[name]["anyOf"][0]["maximum"] = limit
    if not settings.beams:
        del options["num_beams"]
    for schema in WITH_MODEL:
        model = schemas[schema]["properties"]["model"]
        model.get("anyOf", [model])[0]["enum"] = [*service.models]
    for schema in ("ChatRequest", "CompletionsRequest"):
        schemas[schema]["properties"]["n"]["anyOf"][0]["maximum"] = settings.n
    if service.embeddings is not None:
        dimensions = service.embeddings.selector.dimensions
        schemas["EmbeddingsRequest"]["properties"]["dimensions"]["anyOf"][0]["enum"] = [dimensions]
    schemas["DocumentRequestBody"]["properties"]["n"]["maximum"] = settings.n
    schemas["SearchRequest"]["properties"]["k"]["maximum"] = settings.k
