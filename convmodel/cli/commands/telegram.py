"""`telegram`: run a Telegram bot, with a running server or with a model loaded in this process."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING

from convmodel.cli import options as cli_options
from convmodel.cli.command import Command
from convmodel.cli.commands import serve
from convmodel.data.options import name_flag
from convmodel.errors import require_extra
from convmodel.serving.settings import Settings

if TYPE_CHECKING:
    from convmodel.serving.auth import Keys
    from convmodel.serving.service import Service
    from convmodel.serving.store import Store

EXTRA = ("aiogram", "aiohttp", "regex", *serve.EXTRA)
"""Libraries of the extra."""

MODEL_OPTIONS = (
    *("model", "base", "selector", "index", "candidates", "reranker", "device", "preset", "settings", "persona"),
    *("documents", "blocked_words", "classifier", "keep_days"),
)
"""Options that do not apply to a running server, which has its own model."""


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("server and storage").add_argument
    text = "a running server, such as http://127.0.0.1:8000 (default: start one in this process)"
    add("--url", metavar="URL", help=text)
    add("--api", metavar="URL", help="a Bot API server (default: Telegram's own)")
    text = "in groups, begin each turn with the first name of its writer, for a model that was trained with names"
    add("--names", action="store_true", help=text)
    text = "database of the bot, and of the conversations of a server in this process (default: sqlite:///telegram.db)"
    add("--store", metavar="URL", default="sqlite:///telegram.db", help=text)
    text = "without --url: delete conversations without changes for this many days (default: never)"
    add("--keep-days", metavar="N", type=serve.parse_days, help=text)
    cli_options.add_responder_options(parser)
    cli_options.add_load_options(parser)
    cli_options.add_policy_options(parser)


def _run(options: Namespace) -> int:
    with require_extra("telegram", EXTRA, needing="the bot needs"):
        from convmodel.serving.logs import log_to_stderr
        from convmodel.serving.store import Store
        from convmodel.serving.store.instance_lock import instance_lock
        from convmodel.serving.telegram import bot, embedded_server
        from convmodel.serving.telegram.log_redaction import hide
    token = bot.check_token(os.environ.get("TELEGRAM_BOT_TOKEN"))
    api = None if options.api is None else bot.check_address(options.api, what="a Bot API server")
    log_to_stderr(texts=False)
    hide(token)
    with ExitStack() as stack:
        store = stack.enter_context(Store(options.store))
        stack.enter_context(instance_lock(options.store, "bot"))
        key = os.environ.get("CONVMODEL_API_KEY")
        if options.url is None:
            stack.enter_context(instance_lock(options.store, "server"))
            key, keys = embedded_server.own_key()
            service = _load_service(options, store, keys, stack)
            server: AbstractAsyncContextManager[str] = embedded_server.serving_here(service)
        else:
            if given := [name for name in MODEL_OPTIONS if getattr(options, name)]:
                flag = name_flag("set" if given[0] == "settings" else given[0])
                raise ValueError(f"the server of --url has its own model and options; leave {flag} out, or --url")
            server = nullcontext(bot.check_address(options.url, what="a convmodel server"))

        async def run_until_signal() -> None:
            ending = bot.signal_event()
            async with server as url:
                settings = bot.BotSettings(url=url, key=key, api=api, names=options.names)
                await bot.run_bot(token, settings, store, ending=ending)

        asyncio.run(run_until_signal())
    return 0


def _load_service(options: Namespace, store: "Store", keys: "Keys", stack: ExitStack) -> "Service":
    """Load the models for a server in this process, which the bot uses like any other server."""
    from convmodel.serving.server import prepare_process

    prepare_process()
    settings = Settings(max_running=options.max_running, max_waiting=options.max_waiting)
    cli_options.check_policy_options(options)
    opened = stack.enter_context(cli_options.open_all(options))
    policy = cli_options.open_policy(options, device=options.device)
    service = serve.make_service(
        options, opened, settings=settings, keys=keys, policy=policy, store=store, keep_for=options.keep_days
    )
    if service.replies is None:
        raise ValueError("nothing replies; the bot needs --model, or --selector and --index or --candidates")
    cli_options.print_choices(options)
    return service


COMMAND = Command(
    name="telegram",
    help="run a Telegram bot",
    description="Answers in Telegram until Ctrl-C, with a running server (--url) or with a model loaded here. The "
    "bot's token is read from $TELEGRAM_BOT_TOKEN, a server's key from $CONVMODEL_API_KEY.",
    add_options=_add_options,
    run=_run,
    common=["--model", "--selector", "--candidates", "--persona", "--preset", "--url", "--store", "--names"],
    examples=["--model model", "--url http://127.0.0.1:8000   # a server that is running"],
    options_of="index",
)
