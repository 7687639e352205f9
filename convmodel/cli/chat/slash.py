"""A line that begins with a slash in, what came of it out: one table of commands."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from convmodel.cli.chat import files as keeping
from convmodel.cli.chat.outcome import Outcome, Table
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.why import candidate_table, why
from convmodel.responders.option_values import parse_value, show_value


@dataclass(frozen=True)
class SlashCommand:
    """A command of the chat.

    Args:
        name: what is typed after the slash.
        arguments: what may follow, as it stands in the help.
        help: what it does.
        run: the chat and what followed in, what came of it out. Raises ValueError or OSError with what to do.
        completes: what the Tab key completes after it: "options", "presets", "files", "commands", or nothing.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Chat, str], Outcome]
    completes: str = ""

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"/{self.name} {self.arguments}".rstrip()


def is_command(line: str) -> bool:
    """Whether a line is a command: it begins with one slash, not with two."""
    return line.startswith("/") and not line.startswith("//")


def spoken(line: str) -> str:
    """What a line that is no command says: `//` at its beginning stands for `/`."""
    return line[1:] if line.startswith("//") else line


def run_command(chat: Chat, line: str) -> Outcome:
    """Follows a command.

    Raises:
        ValueError, OSError: for a command that is not there, or that cannot be followed; says what to do.
    """
    name, _, rest = line[1:].partition(" ")
    return find(name.strip()).run(chat, rest.strip())


def find(name: str) -> SlashCommand:
    """The command of a name.

    Raises:
        ValueError: when there is none; names the nearest.
    """
    for command in COMMANDS:
        if name.lower() in (command.name, *_ALSO.get(command.name, ())):
            return command
    near = difflib.get_close_matches(name.lower(), [command.name for command in COMMANDS], n=1)
    guess = f"did you mean /{near[0]}? " if near else ""
    raise ValueError(
        f"there is no command /{name}; {guess}/help lists them, and a text that begins with / is written //{name}"
    )


def _reset(chat: Chat, rest: str) -> Outcome:
    _nothing(rest, "reset")
    turns = len(chat.turns)
    chat.reset()
    return Outcome(f"a new conversation; {turns} turns are forgotten" if turns else "a new conversation")


def _undo(chat: Chat, rest: str) -> Outcome:
    _nothing(rest, "undo")
    taken = chat.undo()
    left = f"{len(chat.turns)} turns are left" if chat.turns else "no turns are left"
    return Outcome(f"taken back; {left}", shown=tuple(zip(("you", "reply"), taken, strict=False)))


def _retry(chat: Chat, rest: str) -> Outcome:
    _nothing(rest, "retry")
    chat.retry()
    return Outcome(reply=True)


def _persona(chat: Chat, rest: str) -> Outcome:
    word, _, text = rest.partition(" ")
    if rest == "clear":
        chat.set_persona(())
    elif word == "add" and text.strip():
        chat.set_persona((*chat.persona, text.strip()))
    elif word == "add":
        raise ValueError("there is no sentence to add; write /persona add I like rain.")
    elif rest:
        chat.set_persona((rest,))
    return Outcome("\n".join(chat.persona) or "there is no persona; /persona I like rain. gives one")


def _set(chat: Chat, rest: str) -> Outcome:
    name, _, value = rest.replace("=", " ", 1).partition(" ") if "=" in rest.split(" ")[0] else rest.partition(" ")
    if not name:
        rows = tuple((key, show_value(value), _origin(chat, key)) for key, value in chat.options.items())
        return Outcome(table=Table(("option", "value", "from"), rows))
    if not value.strip():
        if name not in chat.options:
            chat.responder.check_options({name: None})
            return Outcome(f"{name} is not set")
    elif value.strip() == "default":
        chat.unset(name)
    else:
        chat.set_options({name: parse_value(value)})
    return Outcome(f"{name} = {show_value(chat.options[name])}" if name in chat.options else f"{name} is not set")


def _origin(chat: Chat, name: str) -> str:
    if name in chat.own:
        return "you"
    return "preset" if name in chat.settings else "model"


def _preset(chat: Chat, rest: str) -> Outcome:
    presets = chat.responder.presets
    if rest:
        chat.use_preset(None if rest == "off" else rest)
        return Outcome(f"preset {rest}" if chat.preset else "no preset: the model's own options")
    if not presets:
        return Outcome("this model has no presets")
    rows = tuple(
        (name, ", ".join(f"{k}={show_value(v)}" for k, v in options.items())) for name, options in presets.items()
    )
    marked = None if chat.preset is None else list(presets).index(chat.preset)
    return Outcome(table=Table(("preset", "options"), rows, marked))


def _seed(chat: Chat, rest: str) -> Outcome:
    if rest == "off":
        chat.set_seed(None)
    elif rest.isdecimal() and int(rest) < 2**63:
        chat.set_seed(int(rest))
    elif rest:
        raise ValueError(f"{rest!r} is no seed; write a whole number from 0, or off")
    last = f"; the last one was {chat.last.seed}" if chat.last and chat.last.seed is not None else ""
    return Outcome((f"seed {chat.seed}" if chat.seed is not None else "each reply draws a seed") + last)


def _save(chat: Chat, rest: str) -> Outcome:
    how, _, name = rest.partition(" ")
    if how not in ("!", "+"):
        how, name = "", rest
    if not name.strip():
        raise ValueError("there is no file name; write /save talk.jsonl")
    return Outcome(keeping.save(chat.conversation(), name.strip(), replace=how == "!", add=how == "+"))


def _load(chat: Chat, rest: str) -> Outcome:
    name, _, number = rest.rpartition(" ")
    if not (name and number.isdecimal()):
        name, number = rest, ""
    if not name:
        raise ValueError("there is no file name; write /load talk.jsonl")
    chat.load(keeping.load(name.strip(), int(number) if number else None))
    return Outcome(loaded(chat), shown=last_turns(chat))


def loaded(chat: Chat) -> str:
    """What a person is told of a conversation that was loaded."""
    turns = f"{len(chat.turns)} turn{'' if len(chat.turns) == 1 else 's'}"
    persona = f", {len(chat.persona)} sentences of persona" if chat.persona else ""
    return f"{turns}{persona}" + ("; the last one waits for a reply: /retry makes one" if chat.waiting else "")


def last_turns(chat: Chat, most: int = 4) -> tuple[tuple[str, str], ...]:
    """The newest turns, with who said them."""
    speakers = [("you", "reply")[n % 2] for n in range(len(chat.turns))]
    return tuple(zip(speakers, chat.turns, strict=True))[-most:]


def _why(chat: Chat, rest: str) -> Outcome:
    reply = chat.reply()
    if rest:
        if not rest.isdecimal():
            raise ValueError(f"{rest!r} is no number of a candidate; there are 1 to {len(reply.candidates)}")
        return Outcome(f"candidate {rest} is the reply now", shown=(("reply", chat.choose(int(rest))),))
    told = why(reply)
    if not told and "num_return_sequences" in chat.options:
        told = "this was the only candidate; /set num_return_sequences 4 compares several"
    return Outcome(told, table=candidate_table(reply, chat.chosen))


def _help(chat: Chat, rest: str) -> Outcome:
    if rest:
        command = find(rest.removeprefix("/"))
        return Outcome(f"{command.usage}\n{command.help}")
    rows = tuple((command.usage, command.help) for command in COMMANDS)
    return Outcome(HINTS, table=Table(("command", "what it does"), rows))


def _quit(chat: Chat, rest: str) -> Outcome:
    _nothing(rest, "quit")
    return Outcome(leave=True)


def _nothing(rest: str, name: str) -> None:
    if rest:
        raise ValueError(f"/{name} takes no arguments, but {rest!r} followed")


HINTS = """\
Enter sends; Alt-Enter, or a backslash at the end, begins a new line.
Ctrl-C stops a reply; Ctrl-D leaves. //text says /text."""

COMMANDS = (
    SlashCommand("reset", "", "begin a new conversation; persona, options and seed stay", _reset),
    SlashCommand("undo", "", "take back the last exchange", _undo),
    SlashCommand("retry", "", "make the last reply anew, with another seed", _retry),
    SlashCommand(
        "why",
        "[NUMBER]",
        "the candidates of the last reply, where they came from and why the first won; a number takes that one",
        _why,
    ),
    SlashCommand(
        "persona",
        "[TEXT | add TEXT | clear]",
        "show the sentences about the one who replies; replace them by one; add one; forget them",
        _persona,
    ),
    SlashCommand(
        "set", "[NAME [VALUE | default]]", "show all options or one; set one, or take it back", _set, "options"
    ),
    SlashCommand(
        "preset", "[NAME | off]", "show the sets of options; start over from one, or from none", _preset, "presets"
    ),
    SlashCommand(
        "seed", "[NUMBER | off]", "show or fix the seed of the replies to come; off draws one for each", _seed
    ),
    SlashCommand(
        "save",
        "[! | +] FILE",
        "write the conversation to a file that trains; ! replaces it, + adds to it",
        _save,
        "files",
    ),
    SlashCommand("load", "FILE [NUMBER]", "go on with a conversation of a file", _load, "files"),
    SlashCommand("help", "[COMMAND]", "show the commands, or one", _help, "commands"),
    SlashCommand("quit", "", "leave", _quit),
)
"""In the order of the help, which is made from it."""

_ALSO = {"quit": ("exit",), "help": ("?",)}
