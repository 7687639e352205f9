"""A command of a chat in, the bot's answer out, kept together with what the command changed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from convmodel.responders.option_values import parse_value, show_value
from convmodel.responders.slash_commands import NO_PERSONA, edit_persona, parse_option, unknown_command
from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram.api_client import Server, retry_with_backoff
from convmodel.serving.telegram.chat_settings import ChatSettings
from convmodel.serving.telegram.errors import Refused
from convmodel.serving.telegram.message_split import split
from convmodel.serving.telegram.replies import Replies, told
from convmodel.serving.telegram.task_queue import State, Task


class CommandError(ValueError):
    """A command that cannot be followed; says what to do."""


@dataclass(frozen=True)
class CommandContext:
    """What commands work with."""

    state: State
    server: Server
    replies: Replies


@dataclass(frozen=True)
class Answer:
    """What came of a command.

    Args:
        text: for the person.
        parts: the messages, where they are divided already.
        changes: of the chat's `ChatSettings`.
        kept: whether the command has kept all this itself.
    """

    text: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[str] = ()
    kept: bool = False


@dataclass(frozen=True)
class BotCommand:
    """A command.

    Args:
        name: what is written after the slash.
        arguments: what may follow.
        help: what it does.
        run: follows it. Done twice, because a restart came between, it changes nothing more. Raises Mistake, Refused.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[CommandContext, Task, str], Awaitable[Answer]]

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"/{self.name} {self.arguments}".rstrip()


async def answer_command(desk: CommandContext, task: Task) -> list[str]:
    """Follows a command and keeps what came of it.

    Returns:
        The messages that answer.
    """
    name, rest = task.command
    try:
        answer = await find(name).run(desk, task, rest)
    except CommandError as error:
        answer = Answer(str(error))
    except Refused as error:
        gone = error.status == 404  # deleted on the server, by its age or by hand
        answer = (
            Answer(texts.GONE, {"conversation": None}) if gone else Answer(texts.refused(error, fault=texts.NOT_DONE))
        )
    parts = list(answer.parts) or split(answer.text)
    if not answer.kept:
        await desk.state.answer(task, parts, **answer.changes)
    return parts


def find(name: str) -> BotCommand:
    """The command of a name.

    Raises:
        Mistake: when there is none; names the nearest.
    """
    names = [command.name for command in COMMANDS]
    if name.lower() in names:
        return COMMANDS[names.index(name.lower())]
    raise CommandError(_capitalize(unknown_command(name, names)))


def _capitalize(message: str) -> str:
    return message[:1].upper() + message[1:]


async def _start(desk: CommandContext, task: Task, rest: str) -> Answer:
    return Answer(texts.HELLO)


async def _help(desk: CommandContext, task: Task, rest: str) -> Answer:
    if rest:
        command = find(rest.removeprefix("/"))
        return Answer(f"{command.usage}\n{command.help}")
    return Answer("\n".join(f"{command.usage} - {command.help}" for command in COMMANDS) + f"\n\n{texts.HINTS}")


async def _reset(desk: CommandContext, task: Task, rest: str) -> Answer:
    return Answer("A new conversation; persona and options stay.", {"conversation": None})


async def _forget(desk: CommandContext, task: Task, rest: str) -> Answer:
    for conversation in await desk.state.conversations(task.chat):
        await retry_with_backoff(lambda one=conversation: _delete(desk.server, one))  # type: ignore[misc]
    await desk.state.forget(task, [texts.FORGOTTEN])
    await desk.state.clean()
    return Answer(texts.FORGOTTEN, kept=True)


async def _delete(server: Server, conversation: str) -> None:
    try:
        await server.ask("DELETE", f"/conversations/{conversation}")
    except Refused as error:
        if error.status != 404:
            raise


async def _undo(desk: CommandContext, task: Task, rest: str) -> Answer:
    conversation = (await desk.state.settings(task.chat)).conversation
    if conversation is None:
        raise CommandError(texts.NOTHING_TO_UNDO)
    path, plan = f"/conversations/{conversation}", task.plan
    if plan is None:
        # Which version is undone is kept before it is: a second time, the server sees that it is done.
        now = await retry_with_backoff(lambda: desk.server.ask("GET", path))
        if not now["turns"]:
            raise CommandError(texts.NOTHING_TO_UNDO)
        plan = {"version": now["version"], "turns": len(now["turns"])}
        await desk.state.attempt(task, plan=plan, attempt=0)
    try:
        body = {"version": plan["version"]}
        after = (await retry_with_backoff(lambda: desk.server.ask("POST", f"{path}/undo", body), conflicts={}))[
            "conversation"
        ]
    except Refused as error:
        if error.code != "conflict":
            raise
        after = await retry_with_backoff(lambda: desk.server.ask("GET", path))
        if after["version"] != plan["version"] + 1 or len(after["turns"]) >= plan["turns"]:
            raise CommandError(texts.CHANGED_ELSEWHERE) from None
    left = len(after["turns"])
    return Answer(f"Taken back; {left or 'no'} turn{'' if left == 1 else 's'} {'is' if left == 1 else 'are'} left.")


async def _retry(desk: CommandContext, task: Task, rest: str) -> Answer:
    return Answer(parts=await desk.replies.reply(task))


async def _persona(desk: CommandContext, task: Task, rest: str) -> Answer:
    settings = await desk.state.settings(task.chat)
    persona = settings.persona
    if persona is None:
        persona = await _usual_persona(desk, task)
    try:
        persona = edit_persona(persona, rest)
    except ValueError as error:
        raise CommandError(_capitalize(str(error))) from None
    shown = "\n".join(persona) or f"{_capitalize(NO_PERSONA)}."
    return await _changed(desk, task, replace(settings, persona=persona), shown) if rest else Answer(shown)


async def _usual_persona(desk: CommandContext, task: Task) -> tuple[str, ...]:
    """The server's, kept before it is changed: a second time, the server would tell what the first time made of it."""
    if task.plan is None:
        path = f"/conversations/{await desk.replies.conversation(task)}"
        persona = (await retry_with_backoff(lambda: desk.server.ask("GET", path)))["persona"]
        await desk.state.attempt(task, plan={"persona": persona}, attempt=0)
        return tuple(persona)
    return tuple(task.plan["persona"])


async def _set(desk: CommandContext, task: Task, rest: str) -> Answer:
    settings = await desk.state.settings(task.chat)
    about = await retry_with_backoff(lambda: desk.server.ask("GET", "/about"))
    in_effect = _in_effect(about, settings)
    name, value = parse_option(rest)
    if not name:
        # The model has others, which are nobody's to set here.
        own_to_set = [(key, *found) for key, found in in_effect.items() if key in about.get("option_help", {})]
        return Answer("\n".join(f"{key} = {show_value(value)} ({who})" for key, value, who in own_to_set))
    if not value:
        if name not in about.get("option_help", {}):
            raise CommandError(f"There is no option {name}; /set lists those in effect")
        return Answer(_shown(name, in_effect))
    own = dict(settings.options)
    if value != "default":
        own[name] = parse_value(value)
    elif name in own:
        del own[name]
    else:
        raise CommandError(f"{name} was not set")
    settings = replace(settings, options=own)
    return await _changed(desk, task, settings, _shown(name, _in_effect(about, settings)))


async def _preset(desk: CommandContext, task: Task, rest: str) -> Answer:
    about = await retry_with_backoff(lambda: desk.server.ask("GET", "/about"))
    settings, presets = await desk.state.settings(task.chat), about.get("presets", {})
    if rest:
        if rest != "off" and rest not in presets:
            known = f"there are {', '.join(presets)}" if presets else "this model has none"
            raise CommandError(f"There is no preset {rest!r}; {known}")
        shown = "No preset: the model's own options." if rest == "off" else f"Preset {rest}."
        return await _changed(desk, task, replace(settings, preset=rest, options={}), shown)
    now = about.get("preset") if settings.preset is None else settings.preset
    lines = [
        f"{name}{' (in effect)' if name == now else ''}: "
        + ", ".join(f"{key}={show_value(value)}" for key, value in options.items())
        for name, options in presets.items()
    ]
    return Answer("\n".join(lines) or "This model has no presets.")


async def _changed(desk: CommandContext, task: Task, settings: ChatSettings, shown: str) -> Answer:
    """Has the server see whether settings can be followed; what it refuses is not kept."""
    conversation = await desk.replies.conversation(task)
    body = told(settings)
    await retry_with_backoff(lambda: desk.server.ask("PATCH", f"/conversations/{conversation}", body))
    return Answer(shown, {"persona": settings.persona, "preset": settings.preset, "options": dict(settings.options)})


def _in_effect(about: Mapping[str, Any], settings: ChatSettings) -> dict[str, tuple[Any, str]]:
    """Each option's value, and whose it is.

    The server says what is in effect with its usual preset; what that sets is not known for another one, and left out.
    """
    presets, usual = about.get("presets", {}), about.get("preset")
    of_model, of_preset = dict(about.get("options", {})), presets.get(settings.preset or usual, {})
    if settings.preset not in (None, usual):
        of_model = {name: value for name, value in of_model.items() if name not in presets.get(usual, {})}
    layers = [(of_model, "model"), (of_preset, "preset"), (settings.options, "you")]
    return dict(sorted({name: (value, who) for layer, who in layers for name, value in layer.items()}.items()))


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
"""In the order of the help and of Telegram's menu."""
