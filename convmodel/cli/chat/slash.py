"""Slash commands of the chat: the table of commands and their execution."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convmodel.cli.chat import files
from convmodel.cli.chat.describe import candidate_table, explain
from convmodel.cli.chat.screen import Outcome, TextTable
from convmodel.cli.chat.state import Chat
from convmodel.responders.typed_input import (
    NO_PERSONA,
    TypedCommand,
    edit_persona,
    parse_command,
    parse_option,
    parse_value,
    show_value,
    unknown_command,
)


@dataclass(frozen=True)
class SlashCommand(TypedCommand):
    """A command of the chat.

    Args:
        run: runs the command on a chat with its argument. Raises ValueError or OSError with a remedy.
        completes: kind of its Tab completion: "options", "presets", "files", "commands", or empty.
    """

    run: Callable[[Chat, str], Outcome]
    completes: str = ""


def run_command(chat: Chat, line: str) -> Outcome:
    """Parse and run a command; raise ValueError or OSError with a remedy if that is not possible."""
    name, argument = parse_command(line)
    command = find_command(name)
    if argument and not command.arguments:
        raise ValueError(f"/{command.name} takes no arguments, but {argument!r} followed")
    return command.run(chat, argument)


def find_command(name: str) -> SlashCommand:
    """Return the command with a name or alias; for an unknown name, raise ValueError that suggests the closest name."""
    for command in COMMANDS:
        if name.lower() in (command.name, *_ALIASES.get(command.name, ())):
            return command
    raise ValueError(unknown_command(name, [command.name for command in COMMANDS]))


def _reset(chat: Chat, argument: str) -> Outcome:
    turns = len(chat.turns)
    chat.reset()
    return Outcome(f"a new conversation; {turns} turns are forgotten" if turns else "a new conversation")


def _undo(chat: Chat, argument: str) -> Outcome:
    removed = chat.undo()
    left = f"{len(chat.turns)} turns are left" if chat.turns else "no turns are left"
    return Outcome(f"taken back; {left}", shown=tuple(zip(("you", "reply"), removed, strict=False)))


def _speak_as(chat: Chat, argument: str) -> Outcome:
    if argument:
        chat.speak_as(argument)
    return Outcome(f"you speak as {chat.me}, and the model replies as {chat.speaker}")


def _retry(chat: Chat, argument: str) -> Outcome:
    chat.retry()
    return Outcome(reply=True)


def _persona(chat: Chat, argument: str) -> Outcome:
    persona = edit_persona(chat.persona, argument)
    if argument:
        chat.set_persona(persona)
    return Outcome("\n".join(chat.persona) or NO_PERSONA)


def _set(chat: Chat, argument: str) -> Outcome:
    name, value = parse_option(argument)
    if not name:
        rows = tuple((key, show_value(value), _origin(chat, key)) for key, value in chat.options.items())
        return Outcome(table=TextTable(("option", "value", "from"), rows))
    if not value:
        if name not in chat.options:
            chat.responder.check_options({name: None})
            return Outcome(f"{name} is not set")
    elif value == "default":
        chat.unset(name)
    else:
        chat.set_options({name: parse_value(value)})
    return Outcome(f"{name} = {show_value(chat.options[name])}" if name in chat.options else f"{name} is not set")


def _origin(chat: Chat, name: str) -> str:
    if name in chat.own:
        return "you"
    return "preset" if name in chat.settings else "model"


def _preset(chat: Chat, argument: str) -> Outcome:
    presets = chat.responder.presets
    if argument:
        chat.use_preset(None if argument == "off" else argument)
        return Outcome(f"preset {argument}" if chat.preset else "no preset: the model's own options")
    if not presets:
        return Outcome("this model has no presets")
    rows = tuple(
        (name, ", ".join(f"{k}={show_value(v)}" for k, v in options.items())) for name, options in presets.items()
    )
    marked = None if chat.preset is None else list(presets).index(chat.preset)
    return Outcome(table=TextTable(("preset", "options"), rows, marked))


def _seed(chat: Chat, argument: str) -> Outcome:
    if argument == "off":
        chat.set_seed(None)
    elif argument.isdecimal() and int(argument) < 2**63:
        chat.set_seed(int(argument))
    elif argument:
        raise ValueError(f"{argument!r} is not a seed; write a whole number from 0, or off")
    last = f"; the last one was {chat.last.seed}" if chat.last and chat.last.seed is not None else ""
    return Outcome((f"seed {chat.seed}" if chat.seed is not None else "each reply draws a seed") + last)


def _save(chat: Chat, argument: str) -> Outcome:
    mode, _, name = argument.partition(" ")
    if mode not in ("!", "+"):
        mode = ""
        name = argument
    if not name.strip():
        raise ValueError("there is no file name; write /save talk.jsonl")
    return Outcome(files.save(chat.conversation(), name.strip(), replace=mode == "!", add=mode == "+"))


def _load(chat: Chat, argument: str) -> Outcome:
    name, _, number = argument.rpartition(" ")
    if not (name and number.isdecimal()):
        name = argument
        number = ""
    if not name:
        raise ValueError("there is no file name; write /load talk.jsonl")
    chat.load(files.load(name.strip(), int(number) if number else None, chat.read_options))
    return describe_loaded(chat)


def describe_loaded(chat: Chat) -> Outcome:
    """Describe a conversation that was loaded, with its last turns."""
    turns = f"{len(chat.turns)} turn{'' if len(chat.turns) == 1 else 's'}"
    persona = f", {len(chat.persona)} sentences of persona" if chat.persona else ""
    waiting = "; the last one waits for a reply: /retry makes one" if chat.waiting else ""
    return Outcome(f"{turns}{persona}{waiting}", shown=tuple(_shown(chat))[-MAX_SHOWN:])


def _shown(chat: Chat) -> Iterator[tuple[str, str]]:
    """Yield the speaker and text of each turn for a screen; names are added except for the speaker who replies."""
    for name, text in zip(chat.names, chat.turns, strict=True):
        if name == chat.speaker:
            yield "reply", text
        else:
            yield "you", f"{name}: {text}" if chat.named else text


def _why(chat: Chat, argument: str) -> Outcome:
    reply = chat.last_reply()
    if argument:
        if not argument.isdecimal():
            raise ValueError(f"{argument!r} is not the number of a candidate; there are 1 to {len(reply.candidates)}")
        return Outcome(f"candidate {argument} is the reply now", shown=(("reply", chat.choose(int(argument))),))
    text = explain(reply)
    if not text and "num_return_sequences" in chat.options:
        text = "this was the only candidate; /set num_return_sequences 4 compares several"
    return Outcome(text, table=candidate_table(reply, chat.chosen))


def _help(chat: Chat, argument: str) -> Outcome:
    if argument:
        command = find_command(argument.removeprefix("/"))
        return Outcome(f"{command.usage}\n{command.help}")
    rows = tuple((command.usage, command.help) for command in COMMANDS)
    return Outcome(HINTS, table=TextTable(("command", "what it does"), rows))


MAX_SHOWN = 4
"""Maximum number of turns of a loaded conversation that are shown."""

HINTS = """\
Enter sends; Alt-Enter, or a backslash at the end, begins a new line.
Ctrl-C stops a reply; Ctrl-D leaves. //text says /text."""

COMMANDS = (
    SlashCommand("reset", "", "begin a new conversation; persona, options and seed stay", _reset),
    SlashCommand("undo", "", "take back the last exchange", _undo),
    SlashCommand("retry", "", "regenerate the last reply with another seed", _retry),
    SlashCommand(
        "why",
        "[NUMBER]",
        "show reasoning and candidates of the last reply, sources and why the first won; a number selects that one",
        _why,
    ),
    SlashCommand(
        "persona",
        "[TEXT | add TEXT | clear]",
        "show the persona; replace it by one sentence; add a sentence; clear it",
        _persona,
    ),
    SlashCommand("as", "[NAME]", "show as whom you speak; speak as somebody else, in a chat of several", _speak_as),
    SlashCommand("set", "[NAME [VALUE | default]]", "show all options or one; set one, or reset it", _set, "options"),
    SlashCommand("preset", "[NAME | off]", "show the presets; switch to one, or to none", _preset, "presets"),
    SlashCommand("seed", "[NUMBER | off]", "show or fix the seed of later replies; off draws one for each", _seed),
    SlashCommand(
        "save",
        "[! | +] FILE",
        "write the conversation to a file for training; ! replaces it, + appends to it",
        _save,
        "files",
    ),
    SlashCommand("load", "FILE [NUMBER]", "continue a conversation of a file", _load, "files"),
    SlashCommand("help", "[COMMAND]", "show the commands, or one", _help, "commands"),
    SlashCommand("quit", "", "leave", lambda chat, argument: Outcome(leave=True)),
)
"""All commands, in the order of the help."""

_ALIASES = {"quit": ("exit",), "help": ("?",)}
