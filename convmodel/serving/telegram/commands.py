"""Slash commands of the bot; the answer is stored in one transaction with the changes of the command."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from convmodel.responders.option_values import parse_value, show_value
from convmodel.responders.slash_commands import NO_PERSONA, edit_persona, parse_option, unknown_command
from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram.api_client import ServerClient, retry_with_backoff
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.errors import Refused
from convmodel.serving.telegram.message_split import split
from convmodel.serving.telegram.replies import ReplyRequester, settings_body
from convmodel.serving.telegram.task_queue import Task, TaskQueue


class CommandError(ValueError):
    """An invalid command; the message says what to do."""


@dataclass(frozen=True)
class CommandContext:
    """Objects that the commands use.

    Args:
        state: storage of the tasks and of the chats' settings.
        server: client of the convmodel server.
        replies: requests replies.
    """

    state: TaskQueue
    server: ServerClient
    replies: ReplyRequester


@dataclass(frozen=True)
class CommandResult:
    """The result of a command.

    Args:
        text: text of the answer.
        changes: changes to the chat's `ChatSettings`.
        parts: messages of the answer, if the text is split already.
        stored: whether the command has stored the answer and its changes itself.
    """

    text: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[str] = ()
    stored: bool = False


@dataclass(frozen=True)
class BotCommand:
    """A command.

    Args:
        name: the name after the slash.
        arguments: syntax of the arguments.
        help: description.
        run: executes the command; must be idempotent, because a restart may repeat it. Raises CommandError, Refused.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[CommandContext, Task, str], Awaitable[CommandResult]]

    @property
    def usage(self) -> str:
        """Syntax of the command."""
        return f"/{self.name} {self.arguments}".rstrip()


async def answer_command(context: CommandContext, task: Task) -> list[str]:
    """Execute a command and store its result.

    Returns:
        The messages of the answer.
    """
    name, rest = task.command
    try:
        result = await find(name).run(context, task, rest)
    except CommandError as error:
        result = CommandResult(str(error))
    except Refused as error:
        if error.status == 404:  # the conversation expired or was deleted on the server
            result = CommandResult(texts.GONE, {"conversation": None})
        else:
            result = CommandResult(texts.refused(error, fault=texts.NOT_DONE))
    parts = list(result.parts) or split(result.text)
    if not result.stored:
        await context.state.store_answer(task, parts, **result.changes)
    return parts


def find(name: str) -> BotCommand:
    """Return the command of a name.

    Raises:
        CommandError: for an unknown name; suggests the nearest.
    """
    names = [command.name for command in COMMANDS]
    if name.lower() in names:
        return COMMANDS[names.index(name.lower())]
    raise CommandError(_capitalize(unknown_command(name, names)))


def _capitalize(message: str) -> str:
    return message[:1].upper() + message[1:]


async def _start(context: CommandContext, task: Task, rest: str) -> CommandResult:
    return CommandResult(texts.HELLO)


async def _help(context: CommandContext, task: Task, rest: str) -> CommandResult:
    if rest:
        command = find(rest.removeprefix("/"))
        return CommandResult(f"{command.usage}\n{command.help}")
    return CommandResult("\n".join(f"{command.usage} - {command.help}" for command in COMMANDS) + f"\n\n{texts.HINTS}")


async def _reset(context: CommandContext, task: Task, rest: str) -> CommandResult:
    return CommandResult("A new conversation; persona and options stay.", {"conversation": None})


async def _forget(context: CommandContext, task: Task, rest: str) -> CommandResult:
    for conversation in await context.state.conversations(task.chat):
        await retry_with_backoff(lambda id=conversation: _delete(context.server, id))  # type: ignore[misc]
    await context.state.forget(task, [texts.FORGOTTEN])
    await context.state.clean()
    return CommandResult(texts.FORGOTTEN, stored=True)


async def _delete(server: ServerClient, conversation: str) -> None:
    try:
        await server.ask("DELETE", f"/conversations/{conversation}")
    except Refused as error:
        if error.status != 404:
            raise


async def _undo(context: CommandContext, task: Task, rest: str) -> CommandResult:
    conversation = (await context.state.settings(task.chat)).conversation
    if conversation is None:
        raise CommandError(texts.NOTHING_TO_UNDO)
    path = f"/conversations/{conversation}"
    plan = task.plan
    if plan is None:
        # The version to undo is stored first, so that a repetition after a restart does not undo another exchange.
        current = await retry_with_backoff(lambda: context.server.ask("GET", path))
        if not current["turns"]:
            raise CommandError(texts.NOTHING_TO_UNDO)
        plan = {"version": current["version"], "turns": len(current["turns"])}
        await context.state.store_attempt(task, plan=plan, attempt=0)
    try:
        body = {"version": plan["version"]}
        undone = await retry_with_backoff(lambda: context.server.ask("POST", f"{path}/undo", body), conflicts={})
        after = undone["conversation"]
    except Refused as error:
        if error.code != "conflict":
            raise
        after = await retry_with_backoff(lambda: context.server.ask("GET", path))
        if after["version"] != plan["version"] + 1 or len(after["turns"]) >= plan["turns"]:
            raise CommandError(texts.CHANGED_ELSEWHERE) from None
    left = len(after["turns"])
    noun, verb = ("turn", "is") if left == 1 else ("turns", "are")
    return CommandResult(f"Taken back; {left or 'no'} {noun} {verb} left.")


async def _retry(context: CommandContext, task: Task, rest: str) -> CommandResult:
    return CommandResult(parts=await context.replies.reply(task))


async def _persona(context: CommandContext, task: Task, rest: str) -> CommandResult:
    settings = await context.state.settings(task.chat)
    persona = settings.persona
    if persona is None:
        persona = await _default_persona(context, task)
    try:
        persona = edit_persona(persona, rest)
    except ValueError as error:
        raise CommandError(_capitalize(str(error))) from None
    shown = "\n".join(persona) or f"{_capitalize(NO_PERSONA)}."
    return await _changed(context, task, replace(settings, persona=persona), shown) if rest else CommandResult(shown)


async def _default_persona(context: CommandContext, task: Task) -> tuple[str, ...]:
    """Return the server's persona; it is stored before the command changes it, for a repetition after a restart."""
    if task.plan is None:
        path = f"/conversations/{await context.replies.conversation(task)}"
        persona = (await retry_with_backoff(lambda: context.server.ask("GET", path)))["persona"]
        await context.state.store_attempt(task, plan={"persona": persona}, attempt=0)
        return tuple(persona)
    return tuple(task.plan["persona"])


async def _set(context: CommandContext, task: Task, rest: str) -> CommandResult:
    settings = await context.state.settings(task.chat)
    about = await retry_with_backoff(lambda: context.server.ask("GET", "/about"))
    in_effect = _in_effect(about, settings)
    name, value = parse_option(rest)
    if not name:
        # Options of the model that the API does not accept are not shown.
        settable = [(key, *shown) for key, shown in in_effect.items() if key in about.get("option_help", {})]
        return CommandResult("\n".join(f"{key} = {show_value(value)} ({source})" for key, value, source in settable))
    if not value:
        if name not in about.get("option_help", {}):
            raise CommandError(f"There is no option {name}; /set lists those in effect")
        return CommandResult(_shown(name, in_effect))
    options = dict(settings.options)
    if value != "default":
        options[name] = parse_value(value)
    elif name in options:
        del options[name]
    else:
        raise CommandError(f"{name} was not set")
    settings = replace(settings, options=options)
    return await _changed(context, task, settings, _shown(name, _in_effect(about, settings)))


async def _preset(context: CommandContext, task: Task, rest: str) -> CommandResult:
    about = await retry_with_backoff(lambda: context.server.ask("GET", "/about"))
    settings = await context.state.settings(task.chat)
    presets = about.get("presets", {})
    if rest:
        if rest != "off" and rest not in presets:
            known = f"there are {', '.join(presets)}" if presets else "this model has none"
            raise CommandError(f"There is no preset {rest!r}; {known}")
        shown = "No preset: the model's own options." if rest == "off" else f"Preset {rest}."
        return await _changed(context, task, replace(settings, preset=rest, options={}), shown)
    current = about.get("preset") if settings.preset is None else settings.preset
    lines = [
        f"{name}{' (in effect)' if name == current else ''}: "
        + ", ".join(f"{key}={show_value(value)}" for key, value in options.items())
        for name, options in presets.items()
    ]
    return CommandResult("\n".join(lines) or "This model has no presets.")


async def _changed(context: CommandContext, task: Task, settings: ChatSettings, shown: str) -> CommandResult:
    """Send changed settings to the conversation; settings that the server rejects are not stored."""
    conversation = await context.replies.conversation(task)
    body = settings_body(settings)
    await retry_with_backoff(lambda: context.server.ask("PATCH", f"/conversations/{conversation}", body))
    changes = {"persona": settings.persona, "preset": settings.preset, "options": dict(settings.options)}
    return CommandResult(shown, changes)


def _in_effect(about: Mapping[str, Any], settings: ChatSettings) -> dict[str, tuple[Any, str]]:
    """Return each option's value and its source.

    The server reports the options in effect with its default preset. With another preset, the options that the default
    preset sets are left out, because the model's own values of them are unknown.
    """
    presets = about.get("presets", {})
    default = about.get("preset")
    of_model = dict(about.get("options", {}))
    if settings.preset not in (None, default):
        of_model = {name: value for name, value in of_model.items() if name not in presets.get(default, {})}
    of_preset = presets.get(settings.preset or default, {})
    layers = [(of_model, "model"), (of_preset, "preset"), (settings.options, "you")]
    return dict(sorted({name: (value, source) for layer, source in layers for name, value in layer.items()}.items()))


def _shown(name: str, in_effect: Mapping[str, tuple[Any, str]]) -> str:
    return f"{name} = {show_value(in_effect[name][0])}" if name in in_effect else f"{name} is not set"


COMMANDS = (
    BotCommand("start", "", "say hello", _start),
    BotCommand("reset", "", "begin a new conversation; persona and options stay", _reset),
    BotCommand("undo", "", "take back the last exchange", _undo),
    BotCommand("retry", "", "make the last reply anew", _retry),
    BotCommand(
        "persona",
        "[TEXT | add TEXT | clear]",
        "show the sentences about the one who replies; replace them by one; add one; forget them",
        _persona,
    ),
    BotCommand("set", "[NAME [VALUE | default]]", "show all options or one; set one, or take it back", _set),
    BotCommand("preset", "[NAME | off]", "show the sets of options; start over from one, or from none", _preset),
    BotCommand("forget", "", "delete everything that was said here, on the server too", _forget),
    BotCommand("help", "[COMMAND]", "show the commands, or one", _help),
)
"""Commands in the order of the help and of Telegram's menu."""
