"""A model, or a server that has one, and people in Telegram in, conversations out."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from convmodel.cli.command import Command
from convmodel.cli.commands import serve
from convmodel.cli.policy_options import add_policy_options, open_policy, policy_options
from convmodel.cli.responder_options import add_load_options, add_responder_options, open_all, print_choices
from convmodel.errors import require_extra

if TYPE_CHECKING:
    from convmodel.serving.service import Service
    from convmodel.serving.store import Store
    from convmodel.serving.telegram.bot import BotSettings

EXTRA = ("aiogram", "aiohttp", "regex", *serve.EXTRA)
"""What the extra brings."""

OF_A_MODEL = (
    *("model", "selector", "index", "candidates", "reranker", "device", "preset", "settings", "persona"),
    *("documents", "blocked_words", "classifier", "keep_days"),
)
"""Options that say nothing to a server which has its model."""


def _add_options(parser: ArgumentParser) -> None:
    where = parser.add_argument_group("who replies, and where")
    where.add_argument(
        "--url", metavar="URL", help="a running server, such as http://127.0.0.1:8000; without it one is started here"
    )
    where.add_argument("--api", metavar="URL", help="a Bot API server (default: Telegram's own)")
    where.add_argument(
        "--store",
        metavar="URL",
        default="sqlite:///telegram.db",
        help="where the bot keeps what it must not forget, and a server that is started here its conversations "
        "(default: sqlite:///telegram.db)",
    )
    where.add_argument(
        "--keep_days",
        metavar="N",
        type=serve.days,
        help="without --url: delete conversations in which nothing has changed for so many days (default: never)",
    )
    add_responder_options(parser, preset="balanced where nothing is set; off for the model's own options")
    add_load_options(parser)
    add_policy_options(parser)


def _run(options: Namespace) -> int:
    with require_extra("telegram", EXTRA, needing="the bot needs"):
        from convmodel.serving.logs import log_to_stderr
        from convmodel.serving.store import Store
        from convmodel.serving.telegram import embedded_server as here  # noqa: F401
        from convmodel.serving.telegram.bot import BotSettings, check_address, check_token, single_instance_lock
        from convmodel.serving.telegram.log_redaction import hide
    token = check_token(os.environ.get("TELEGRAM_BOT_TOKEN"))
    api = None if options.api is None else check_address(options.api, what="a Bot API server")
    log_to_stderr(texts=False)
    hide(token)
    with Store(options.store) as store, single_instance_lock(options.store):
        if options.url is not None:
            _check_alone(options)
            url = check_address(options.url, what="a convmodel server")
            settings = BotSettings(url=url, key=os.environ.get("CONVMODEL_API_KEY"), api=api)
            asyncio.run(_talk(token, settings, store))
        else:
            _run_here(options, token, api, store)
    return 0


def _run_here(options: Namespace, token: str, api: str | None, store: "Store") -> None:
    """Starts a server in this process; the bot talks to it as it would to any."""
    from convmodel.serving.server import prepare_process
    from convmodel.serving.settings import Settings
    from convmodel.serving.telegram.bot import BotSettings
    from convmodel.serving.telegram.embedded_server import own_key

    prepare_process()
    key, keys = own_key()
    settings = Settings(max_running=options.max_running, max_waiting=options.max_waiting)
    said = policy_options(options)
    with open_all(options) as opened:
        policy = open_policy(said, device=options.device)
        service = serve.service_of(
            options, opened, settings=settings, keys=keys, policy=policy, store=store, keep_for=options.keep_days
        )
        if service.replies is None:
            raise ValueError("that model writes documents; the bot needs one that replies")
        print_choices(options)
        asyncio.run(_talk(token, BotSettings(url="", key=key, api=api), store, service))


async def _talk(token: str, settings: "BotSettings", store: "Store", service: "Service | None" = None) -> None:
    from contextlib import AsyncExitStack
    from dataclasses import replace

    from convmodel.serving.telegram.bot import run_bot, until_signal
    from convmodel.serving.telegram.embedded_server import serving_here

    async with AsyncExitStack() as stack:
        ending = stack.enter_context(until_signal())
        if service is not None:
            settings = replace(settings, url=await stack.enter_async_context(serving_here(service)))
        await run_bot(token, settings, store, ending=ending)


def _check_alone(options: Namespace) -> None:
    given = [name for name in OF_A_MODEL if getattr(options, name)]
    if given:
        name = "set" if given[0] == "settings" else given[0]
        raise ValueError(f"--url is a server that has its model and options; leave --{name} out, or --url")


COMMAND = Command(
    name="telegram",
    help="talk to people in Telegram",
    description="Answers in Telegram until Ctrl-C, by a running server (--url) or by a model that is loaded here. The "
    "bot's token is read from $TELEGRAM_BOT_TOKEN, a server's key from $CONVMODEL_API_KEY.",
    add_options=_add_options,
    run=_run,
)
"""The command."""
