"""A model in, a server that talks over HTTP out."""

import argparse
import inspect
import re
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmodel.cli.command import Command
from convmodel.cli.commands.chat import preset_of
from convmodel.cli.policy_options import add_policy_options, open_policy, policy_options
from convmodel.cli.responder_options import (
    add_load_options,
    add_responder_options,
    open_all,
    own_options,
    print_choices,
    title,
    writer_name,
)
from convmodel.errors import require_extra
from convmodel.serving.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from convmodel.responders.document_protocol import DocumentGenerator
    from convmodel.responders.loading import LoadedModels
    from convmodel.responders.protocol import Responder
    from convmodel.serving.service import Service
    from convmodel.serving.store import Store

EXTRA = ("fastapi", "starlette", "uvicorn", "pydantic", "limits", "prometheus_client", "sqlalchemy", "fastapi_swagger")
"""What the extra brings."""

ELSEWHERE = ("hosts", "origins", "max_running", "max_waiting")
"""Settings that other options of the command line give."""


def _add_options(parser: ArgumentParser) -> None:
    add_responder_options(parser, preset="balanced where nothing is set; off for the model's own options")
    add_load_options(parser)
    add_policy_options(parser)
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="127.0.0.1, this machine alone; others need keys")
    where.add_argument("--port", type=_port, default=8000, help="default: 8000; 0 takes a free one")
    where.add_argument("--name", metavar="NAME", help="the model's name for clients (default: that of its folder)")
    where.add_argument(
        "--store",
        metavar="URL",
        default="sqlite:///convmodel.db",
        help="where conversations and keys are kept: a file, postgresql+psycopg://..., or none (default: "
        "sqlite:///convmodel.db)",
    )
    where.add_argument(
        "--keep_days",
        metavar="N",
        type=days,
        help="delete conversations in which nothing has changed for so many days (default: never)",
    )
    where.add_argument(
        "--allowed_host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name, beside localhost, by which requests may call a server without keys; may be repeated",
    )
    where.add_argument(
        "--cors",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="pages of this origin may use the server, such as https://example.org; may be repeated",
    )
    limits = parser.add_argument_group("limits")
    for name, (kind, default, told) in _limits().items():
        if kind is bool:
            limits.add_argument(f"--{name}", action="store_true", help=told)
        else:
            limits.add_argument(f"--{name}", type=_number(kind), default=default, metavar="N", help=told)


def _limits() -> dict[str, tuple[type, Any, str]]:
    """The settings that a command line gives as numbers and switches: kind, default, and what the class says of it."""
    told = dict(re.findall(r"^ +(\w+): (.*(?:\n {12}.*)*)", inspect.getdoc(Settings) or "", re.MULTILINE))
    found: dict[str, tuple[type, Any, str]] = {}
    for field in fields(Settings):
        if field.name not in ELSEWHERE:
            kind = field.type if isinstance(field.type, type) else int  # of `int | None`
            text = re.sub(r"\s+", " ", told[field.name]).rstrip(".").replace("%", "%%")
            usual = "" if kind is bool or field.default is None else f" (default: {field.default})"
            found[field.name] = (kind, field.default, f"{text}{usual}")
    return found


def _run(options: Namespace) -> int:
    with require_extra("serve", EXTRA, needing="a server needs"):
        from convmodel.serving import server as running
        from convmodel.serving.store import Store
    settings = settings_of(options)
    store = None if options.store == "none" else Store(options.store)
    try:
        exposed = not running.is_loopback(options.host)
        running.check_exposed(options.host, keys=bool(store and store.digests()))
        with running.bind(options.host, options.port) as bound:
            return _serve(options, settings, bound, store, required=exposed)
    finally:
        if store is not None:
            store.close()


def _serve(options: Namespace, settings: Settings, bound: Any, store: "Store | None", *, required: bool) -> int:
    from convmodel.serving.auth import Keys
    from convmodel.serving.server import prepare_process, run

    prepare_process()
    said = policy_options(options)
    with open_all(options) as opened:
        service = service_of(
            options,
            opened,
            model=options.name or model_name(options),
            settings=settings,
            keys=Keys(None if store is None else store.digests, required=required),
            policy=open_policy(said, device=options.device),
            store=store,
            keep_for=options.keep_days,
        )
        print_choices(options)
        return run(service, bound, started=lambda line: print(line, flush=True))


def service_of(options: Namespace, opened: "LoadedModels", **others: Any) -> "Service":
    """A service on what is opened, which replies as the options say.

    Args:
        opened: see `open_all`.
        others: see `new_service`.

    Raises:
        ValueError: for a preset or options that cannot be followed.
    """
    from convmodel.serving.service import new_service

    talker: Responder | DocumentGenerator | None = opened.responder or opened.documents
    assert talker is not None
    preset = preset_of(options, talker.presets)
    talker.check_options({**talker.presets.get(preset or "", {}), **own_options(options)})
    return new_service(
        opened.responder,
        writer=opened.documents,
        title=" + ".join(Path(name).name for name in title(options).split(" + ")),  # no path leaves the server
        persona=tuple(options.persona),
        preset=preset,
        options=own_options(options),
        **others,
    )


def model_name(options: Namespace) -> str:
    """The model's name for clients: that of its folder."""
    return Path(writer_name(options) or options.selector or options.documents).resolve().name


def settings_of(options: Namespace) -> Settings:
    """The settings that a command line comes to."""
    return Settings(
        **{name: getattr(options, name) for name in (*_limits(), "max_running", "max_waiting")},
        hosts=(*LOOPBACK, options.host.lower(), *map(str.lower, options.allowed_host)),
        origins=tuple(options.cors),
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535")
    return int(text)


def days(text: str) -> timedelta:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; give more than 0, to 36500")
    return timedelta(days=number)


def _number(kind: type) -> Any:
    """The type of an option that is a number above 0."""

    def parse(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = -1
        if not 0 <= number < 1e12 or (kind is int and number < 1):
            raise argparse.ArgumentTypeError(
                f"{text!r} is no {'whole ' if kind is int else ''}number from {kind is int:d}"
            )
        return number

    return parse


COMMAND = Command(
    name="serve",
    help="serve a model over HTTP: a web page, an API, OpenAI's chat completions",
    description="Answers requests until Ctrl-C. Binds this machine alone unless told; other machines need keys "
    "(python -m convmodel keys add NAME). The API is described at /docs.",
    add_options=_add_options,
    run=_run,
)
"""The command."""
