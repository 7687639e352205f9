"""Slash commands of the bot; the answer and the changes of a command are stored in one transaction."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from convmodel.responders import typed_input
from convmodel.serving.telegram import messages as texts
from convmodel.serving.telegram import task_queue
from convmodel.serving.telegram.api_client import Refused, retry_with_backoff
from convmodel.serving.telegram.replies import BotContext, answer, current_conversation, request_reply, send_settings
from convmodel.serving.telegram.state import ChatSettings, chat_settings, conversations
from convmodel.serving.telegram.task_queue import Task


@dataclass(frozen=True)
class BotCommand(typed_input.TypedCommand):
    """A command of the bot.

    Args:
        run: function of the context, the task and the command's arguments, which executes the command, stores the
            answer and returns its messages. It must be idempotent, because it may be repeated after a restart. It
            raises Refused for invalid arguments, and for requests that the server rejects.
    """

    run: Callable[[BotContext, Task, str], Awaitable[list[str]]]


async def answer_command(context: BotContext, task: Task) -> list[str]:
    """Execute the command of a task and store the answer; return the messages of the answer."""
    name, rest = task.command
    try:
        return await find(name).run(context, task, rest)
    except Refused as error:
        if error.status == 404:  # the conversation expired or was deleted on the server
            return await answer(context, task, texts.GONE, conversation=None)
        return await answer(context, task, error.user_message(texts.NOT_DONE))


def find(name: str) -> BotCommand:
    """Return the command with a name; raise Refused for an unknown name, and suggest the most similar name."""
    names = [command.name for command in COMMANDS]
    if name.lower() in names:
        return COMMANDS[names.index(name.lower())]
    raise Refused(400, _capitalize(typed_input.unknown_command(name, names)))


def _capitalize(message: str) -> str:
    return message[:1].upper() + message[1:]


async def _help(context: BotContext, task: Task, rest: str) -> list[str]:
    if rest:
        command = find(rest.removeprefix("/"))
        return await answer(context, task, f"{command.usage}\n{command.help}")
    lines = [f"{command.usage} - {command.help}" for command in COMMANDS]
    return await answer(context, task, "\n".join([*lines, "", texts.HINTS]))


async def _reset(context: BotContext, task: Task, rest: str) -> list[str]:
    return await answer(context, task, "A new conversation; persona and options stay.", conversation=None)


async def _forget(context: BotContext, task: Task, rest: str) -> list[str]:
    for conversation in await context.state.read(conversations, task.chat):
        try:
            await context.server.ask("DELETE", f"/conversations/{conversation}")
        except Refused as error:
            if error.status != 404:
                raise
    await context.state.write(task_queue.forget, task, [texts.FORGOTTEN])
    await context.state.store.clean()
    return [texts.FORGOTTEN]


async def _undo(context: BotContext, task: Task, rest: str) -> list[str]:
    conversation = (await context.state.read(chat_settings, task.chat)).conversation
    if conversation is None:
        raise Refused(400, texts.NOTHING_TO_UNDO)
    path = f"/conversations/{conversation}"
    plan = task.plan
    if plan is None:
        # Store the version to undo before the request: a repetition after a restart must not undo a second exchange.
        current = await context.server.ask("GET", path)
        if not current["turns"]:
            raise Refused(400, texts.NOTHING_TO_UNDO)
        plan = {"version": current["version"], "turns": len(current["turns"])}
        await context.state.write(task_queue.change_task, task, plan=plan)
    try:
        body = {"version": plan["version"]}
        undo = partial(context.server.ask_once, "POST", f"{path}/undo", body)
        after = (await retry_with_backoff(undo, conflicts={}))["conversation"]
    except Refused as error:
        if error.code != "conflict":
            raise
        after = await context.server.ask("GET", path)
        if after["version"] != plan["version"] + 1 or len(after["turns"]) >= plan["turns"]:
            raise Refused(400, texts.CHANGED_ELSEWHERE) from None
    left = len(after["turns"])
    noun, verb = ("turn", "is") if left == 1 else ("turns", "are")
    return await answer(context, task, f"Taken back; {left or 'no'} {noun} {verb} left.")


async def _persona(context: BotContext, task: Task, rest: str) -> list[str]:
    settings = await context.state.read(chat_settings, task.chat)
    persona = settings.persona
    if persona is None:
        plan = task.plan
        if plan is None:  # store the original persona, so that a repetition after a restart gives the same result
            path = f"/conversations/{await current_conversation(context, task)}"
            plan = {"persona": (await context.server.ask("GET", path))["persona"]}
            await context.state.write(task_queue.change_task, task, plan=plan)
        persona = tuple(plan["persona"])
    try:
        persona = typed_input.edit_persona(persona, rest)
    except ValueError as error:
        raise Refused(400, _capitalize(str(error))) from None
    shown = "\n".join(persona) or f"{_capitalize(typed_input.NO_PERSONA)}."
    if rest:
        return await _changed(context, task, replace(settings, persona=persona), shown)
    return await answer(context, task, shown)


async def _set(context: BotContext, task: Task, rest: str) -> list[str]:
    settings = await context.state.read(chat_settings, task.chat)
    about = await context.server.ask("GET", "/about")
    in_effect = _in_effect(about, settings)
    name, value = typed_input.parse_option(rest)
    if not name:
        # Options of the model that the server's API does not accept are not shown.
        settable = [(key, *shown) for key, shown in in_effect.items() if key in about.get("option_help", {})]
        lines = [f"{key} = {typed_input.show_value(value)} ({source})" for key, value, source in settable]
        return await answer(context, task, "\n".join(lines))
    if not value:
        if name not in about.get("option_help", {}):
            raise Refused(400, f"There is no option {name}; /set lists those in effect")
        return await answer(context, task, _shown(name, in_effect))
    options = dict(settings.options)
    if value != "default":
        options[name] = typed_input.parse_value(value)
    elif name in options:
        del options[name]
    else:
        raise Refused(400, f"{name} was not set")
    settings = replace(settings, options=options)
    return await _changed(context, task, settings, _shown(name, _in_effect(about, settings)))


async def _preset(context: BotContext, task: Task, rest: str) -> list[str]:
    about = await context.server.ask("GET", "/about")
    settings = await context.state.read(chat_settings, task.chat)
    presets = about.get("presets", {})
    if rest:
        if rest != "off" and rest not in presets:
            known = f"there are {', '.join(presets)}" if presets else "this model has none"
            raise Refused(400, f"There is no preset {rest!r}; {known}")
        shown = "No preset: the model's own options." if rest == "off" else f"Preset {rest}."
        return await _changed(context, task, replace(settings, preset=rest, options={}), shown)
    current = about.get("preset") if settings.preset is None else settings.preset
    lines = [
        f"{name}{' (in effect)' if name == current else ''}: "
        + ", ".join(f"{key}={typed_input.show_value(value)}" for key, value in options.items())
        for name, options in presets.items()
    ]
    return await answer(context, task, "\n".join(lines) or "This model has no presets.")


async def _changed(context: BotContext, task: Task, settings: ChatSettings, shown: str) -> list[str]:
    """Send changed settings to the conversation on the server, then store them with the answer `shown`.

    Raises:
        Refused: if the server rejects the settings; they are not stored then.
    """
    conversation = await current_conversation(context, task)
    changes = await send_settings(context, conversation, settings)
    return await answer(context, task, shown, **changes)


def _in_effect(about: Mapping[str, Any], settings: ChatSettings) -> dict[str, tuple[Any, str]]:
    """Return the value and the source ("model", "preset" or "you") of each option, by name in alphabetical order.

    `about` has the option values with the server's default preset. With another preset, an option that only the default
    preset sets is left out, because the model's own value is unknown.
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
    return f"{name} = {typed_input.show_value(in_effect[name][0])}" if name in in_effect else f"{name} is not set"


COMMANDS = (
    BotCommand("start", "", "say hello", lambda context, task, _: answer(context, task, texts.HELLO)),
    BotCommand("reset", "", "begin a new conversation; persona and options stay", _reset),
    BotCommand("undo", "", "take back the last exchange", _undo),
    BotCommand("retry", "", "make the last reply anew", lambda context, task, _: request_reply(context, task)),
    BotCommand(
        "persona",
        "[TEXT | add TEXT | clear]",
        "show the persona of the bot; replace it by TEXT; add a sentence; remove it",
        _persona,
    ),
    BotCommand("set", "[NAME [VALUE | default]]", "show all options or one; set one, or take it back", _set),
    BotCommand("preset", "[NAME | off]", "show the sets of options; start over from one, or from none", _preset),
    BotCommand("forget", "", "delete everything that was said here, on the server too", _forget),
    BotCommand("help", "[COMMAND]", "show the commands, or one", _help),
)
"""Commands in the order of the help and of Telegram's menu."""
