"""`serve`: serve a model over HTTP."""

import inspect
import re
import sys
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmodel.cli import options as cli_options
from convmodel.cli.command import Command, add_repeatable, number_parser
from convmodel.cli.commands.chat import resolve_preset
from convmodel.data.options import name_flag
from convmodel.errors import require_extra
from convmodel.serving.settings import LOOPBACK, Settings, parse_host, parse_origin

if TYPE_CHECKING:
    from convmodel.responders.loading import LoadedModels
    from convmodel.responders.protocol import DocumentGenerator, Responder
    from convmodel.serving.service import Service
    from convmodel.serving.store import Store

EXTRA = ("fastapi", "starlette", "uvicorn", "pydantic", "limits", "prometheus_client", "sqlalchemy", "fastapi_swagger")
"""Libraries of the extra."""

PARSERS = {
    int: number_parser(int, lambda number: 1 <= number < 1e12, "a whole number from 1"),
    float: number_parser(float, lambda number: 0 <= number < 1e12, "a number from 0"),
}
"""Parsers of settings by their types."""

NO_REPLIES = (
    "nothing replies: this server only embeds and ranks texts (/v1/embeddings, /v1/rerank); for replies give --index, "
    "--candidates or --model"
)

parse_days = number_parser(
    lambda text: timedelta(days=float(text)),
    lambda days: timedelta(0) < days <= timedelta(36_500),
    "a number of days; give more than 0, to 36500",
)

_parse_port = number_parser(int, lambda port: 0 <= port <= 65_535, "a port; give 0 to 65535")

OTHER_SETTINGS = ("hosts", "origins", "max_running", "max_waiting")
"""Names of settings whose options are in other option groups."""


def _add_options(parser: ArgumentParser) -> None:
    cli_options.add_adapter_option(cli_options.add_responder_options(parser))
    cli_options.add_load_options(parser)
    cli_options.add_policy_options(parser)
    server = parser.add_argument_group("address and storage")
    add = server.add_argument
    text = "address to bind (default: 127.0.0.1, this machine only); other addresses need keys"
    add("--host", default="127.0.0.1", help=text)
    add("--port", type=_parse_port, default=8000, help="port to bind (default: 8000); 0 selects a free one")
    add("--open", action="store_true", help="open the page in the browser when the server is ready")
    add("--name", metavar="NAME", help="the model's name for clients (default: that of its folder)")
    text = (
        "database of conversations and keys: a file, postgresql+psycopg://..., or none (default: "
        "sqlite:///convmodel.db)"
    )
    add("--store", metavar="URL", default="sqlite:///convmodel.db", help=text)
    text = "delete conversations without changes for this many days (default: never)"
    add("--keep-days", metavar="N", type=parse_days, help=text)
    text = "an allowed Host header, besides localhost, of a server without keys"
    add_repeatable(server, "--allowed-host", "NAME", text)
    text = "an origin whose pages may use the server, such as https://example.org"
    add_repeatable(server, "--cors", "ORIGIN", text)
    limits = parser.add_argument_group("limits")
    for name, (kind, default, text) in _limits().items():
        if kind is bool:
            limits.add_argument(name_flag(name), action="store_true", help=text)
        else:
            limits.add_argument(name_flag(name), type=PARSERS[kind], default=default, metavar="N", help=text)


def _limits() -> dict[str, tuple[type, Any, str]]:
    """Return type, default and description of the numeric and boolean settings, from the docstring of the class."""
    descriptions = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", inspect.getdoc(Settings) or "", re.MULTILINE))
    limits: dict[str, tuple[type, Any, str]] = {}
    for field in fields(Settings):
        if field.name not in OTHER_SETTINGS:
            kind = field.type if isinstance(field.type, type) else int  # of `int | None`
            text = re.sub(r"\s+", " ", descriptions[field.name]).rstrip(".").replace("%", "%%")
            default = "" if kind is bool or field.default is None else f" (default: {field.default})"
            limits[field.name] = (kind, field.default, f"{text}{default}")
    return limits


def _run(options: Namespace) -> int:
    with require_extra("serve", EXTRA, needing="a server needs"):
        from convmodel.serving import server
        from convmodel.serving.store import Store
        from convmodel.serving.store.instance_lock import instance_lock
    settings = settings_of(options)
    with ExitStack() as stack:
        store = None
        if options.store != "none":
            store = stack.enter_context(Store(options.store))
            stack.enter_context(instance_lock(options.store, "server"))
        exposed = not server.is_loopback(options.host)
        if exposed and not (store and store.digests()):
            raise ValueError(
                f"--host {options.host} can be reached from other machines, and there are no keys; make one with "
                "python -m convmodel keys add NAME, or leave --host out"
            )
        bound = stack.enter_context(server.bind(options.host, options.port))
        return _serve(options, settings, bound, store, required=exposed)


def _serve(options: Namespace, settings: Settings, bound: Any, store: "Store | None", *, required: bool) -> int:
    from convmodel.serving.auth import Keys
    from convmodel.serving.server import address_of, prepare_process, run

    folder = cli_options.writer_name(options) or options.selector or options.documents
    name = options.name or Path(folder).resolve().name
    _check_names(name, [adapter for adapter, _ in options.adapters])
    prepare_process()
    cli_options.check_policy_options(options)
    with cli_options.open_all(options) as opened:
        service = make_service(
            options,
            opened,
            model=name,
            adapters=opened.adapters,
            settings=settings,
            keys=Keys(None if store is None else store.digests, required=required),
            policy=cli_options.open_policy(options, device=options.device),
            store=store,
            keep_for=options.keep_days,
        )
        cli_options.print_choices(options)
        if service.talker is None:
            print(NO_REPLIES, file=sys.stderr, flush=True)

        def started(line: str) -> None:
            print(line, flush=True)
            if options.open:
                webbrowser.open(address_of(bound))

        return run(service, bound, started=started)


def _check_names(model: str, adapters: Sequence[str]) -> None:
    """Raise ValueError if two models of a server would have the same name."""
    for index, name in enumerate(adapters):
        if name in (model, *adapters[:index]):
            raise ValueError(f"--adapter {name}: another model has this name; give another one: --adapter NAME=DIR")


def make_service(options: Namespace, opened: "LoadedModels", **others: Any) -> "Service":
    """Return a service with the loaded models and the decoding options of the command line.

    Raises:
        ValueError: for an invalid preset or option.
    """
    from convmodel.serving.service import Service

    generator: Responder | DocumentGenerator | None = opened.responder or opened.documents
    preset = None
    own_options = cli_options.own_options(options)
    if generator is not None:
        preset = resolve_preset(options, generator.presets)
        for each in (generator, *opened.adapters.values()):
            each.check_options({**each.presets.get(preset or "", {}), **own_options})
    elif options.preset is not None or options.persona or own_options:
        raise ValueError(
            "nothing replies here, so leave out --preset, --persona, --set, --num-replies and --num-candidates; or "
            "give --index, --candidates or --model"
        )
    names = [Path(name).name for name in cli_options.title(options).split(" + ")]  # clients see names, not paths
    return Service(
        opened.responder,
        writer=opened.documents,
        selector=opened.selector,
        reranker=opened.reranker,
        title=" + ".join(names),
        context_length=getattr(generator, "context_length", None),
        persona=tuple(options.persona),
        preset=preset,
        options=own_options,
        **others,
    )


def settings_of(options: Namespace) -> Settings:
    """Return the server settings of a command line."""
    return Settings(
        **{name: getattr(options, name) for name in (*_limits(), "max_running", "max_waiting")},
        hosts=(*LOOPBACK, options.host.lower(), *map(parse_host, options.allowed_host)),
        origins=tuple(map(parse_origin, options.cors)),
    )


COMMAND = Command(
    name="serve",
    help="serve a model over HTTP: a web page, an API, OpenAI's chat completions",
    description="Answers requests until Ctrl-C. By default it binds to this machine only; access from other machines "
    "needs keys (python -m convmodel keys add NAME). The API is documented at /docs. With only --selector it embeds "
    "and ranks texts.",
    add_options=_add_options,
    run=_run,
    examples=["--model model", "--model model --host 0.0.0.0 --port 8080   # after: python -m convmodel keys add NAME"],
    common=[
        *("--model", "--selector", "--candidates", "--persona", "--preset", "--port", "--host", "--open", "--store"),
        "--name",
    ],
    options_of="index",
)
