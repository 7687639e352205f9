"""One-line error messages for options of `python -m convmodel.trainer` that its parser rejects."""

import difflib
import pydoc
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml
from jsonargparse import ArgumentParser

_KEY = re.compile(r'^( *)(?:- )?Parser key "([^"]+)":', re.MULTILINE)
_TYPES = re.compile(r"Expected an? (?:<class '(\w+)'>|(list)\[|typing\.Literal\[(.*?)\])")
_VALUE = re.compile(r"(?:Given value|Got value): (.*)")
_UNKNOWN = re.compile(r"Option '([^']+)' is not accepted|does not accept option '([^']+)'")
_CLASS = re.compile(
    r"Expected a dot import path string: (\S+)|given class_path '([^']+)':\s+(?:No module|module .* has no)"
)
_NESTED = re.compile(r"NestedArg\(key='([^']+)'")
_WORDS = {
    **{"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "NoneType": "null"},
    **{"list": "a list", "dict": "a mapping"},
}


@dataclass(frozen=True)
class OptionContext:
    """Command line and its possible options.

    Args:
        arguments: Words of the command line.
        names: Names of the parser's options, such as `trainer.max_epochs`.
        classes: Class paths of the sections `model` and `data`. Parameters of these classes are options too.
    """

    arguments: Sequence[str]
    names: Sequence[str]
    classes: Mapping[str, str]

    def explain(self, message: str) -> str:
        """Return an error message of jsonargparse as one line with the option, its value and the allowed values."""
        keys = [match[2] for match in _KEY.finditer(message)]
        if words := message.partition("unrecognized arguments: ")[2]:
            return self._explain_unknown(words.split()[0].partition("=")[0])
        if "expected one argument" in message:
            return f"{self._find_without_value(message)}: has no value; give one"
        if unknown := _UNKNOWN.search(message):
            return self._explain_unknown(".".join([*keys, unknown[1] or unknown[2]]))
        option = self._name(".".join(keys))
        block = _innermost(message)
        value = _VALUE.search(block)
        if keys and (given := _CLASS.search(message)):
            if re.match(r"(model|data)\.", ".".join(keys)):  # an option with options of its own, such as model.lora
                return f"{option}={given[1] or given[2]}: is not allowed; give a mapping of its options, or null"
            return f"{option} {given[1] or given[2]}: there is no such class; give its import path, a.module.Class"
        if value and (nested := _NESTED.match(value[1])):
            return self._explain_unknown(".".join([*keys, nested[1]]))
        allowed = ", ".join(dict.fromkeys(_allowed(block)))
        if keys and value and allowed:
            return f"{option}={value[1]}: is not allowed; allowed are {allowed}"
        return " ".join(message.split())[:300]

    def _explain_unknown(self, word: str) -> str:
        name = word.lstrip("-")
        if not word.startswith("-") and self._place(name) is None and "." not in name:
            return f"{word}: is not an option; options begin with --, and a config file is given with --config"
        known = [*self.names, *self._class_options()]
        last = name.rpartition(".")[2]
        near = [each for each in known if each.rpartition(".")[2] == last] or difflib.get_close_matches(name, known, 1)
        shown = f"--{near[0]}" if near and self._is_argument(name) else near[:1]
        hint = f"did you mean {''.join(shown)}?" if near else "fit --help lists the options"
        return f"{self._name(name)}: there is no such option; {hint}"

    def _class_options(self) -> Iterator[str]:
        for section, path in self.classes.items():
            found = pydoc.locate(path)
            if isinstance(found, type):
                parser = ArgumentParser()
                parser.add_class_arguments(found, section)
                yield from option_names(parser)

    def _find_without_value(self, message: str) -> str:
        option = message.partition("argument ")[2].partition(":")[0].split("/")[-1]
        given = [word for word in self.arguments if word == option or word.startswith(f"{option}.")]
        return given[-1] if given else option

    def _is_argument(self, name: str) -> bool:
        return any(word.partition("=")[0].lstrip("-") == name for word in self.arguments)

    def _name(self, name: str) -> str:
        """Return an option as the user wrote it: `--name`, or `config.yaml:3: name`."""
        if self._is_argument(name):
            return f"--{name}"
        place = self._place(name)
        return name if place is None else f"{place}: {name}"

    def _place(self, name: str) -> str | None:
        """Return file and line of an option in the last config file that contains it; None if no file does."""
        for before, word in reversed(list(zip(["", *self.arguments], self.arguments, strict=False))):
            file = word.removeprefix("--config=") if word.startswith("--config=") else word
            if file == word and before not in ("-c", "--config"):
                continue
            with open(file, encoding="utf-8") as opened:
                line = _find_line(yaml.compose(opened, Loader=yaml.SafeLoader), name.split("."))
            if line is not None:
                return f"{file}:{line}"
        return None


def option_names(parser: ArgumentParser) -> list[str]:
    """Return the names of the options of a parser, such as `trainer.max_epochs`."""
    names = [name.removeprefix("--") for name in parser._option_string_actions if name.startswith("--")]
    return [name for name in names if not name.endswith(("help", "+"))]


def _find_line(node: yaml.Node | None, keys: Sequence[str]) -> int | None:
    """Return the line of a nested option in a YAML node, or None. `keys` leaves out the levels named `init_args`."""
    if not keys or not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == "init_args" and keys[0] != "init_args":
            found = _find_line(value, keys)
            if found is not None:
                return found
        elif key.value == keys[0]:
            found = _find_line(value, keys[1:])
            return int(key.start_mark.line) + 1 if found is None else found
    return None


def _innermost(message: str) -> str:
    """Return the part of a message of jsonargparse that concerns its last key."""
    matches = list(_KEY.finditer(message))
    if not matches:
        return message
    indent = len(matches[-1][1])
    lines = message[matches[-1].end() :].split("\n")
    inner = [line for line in lines[1:] if line.strip()]
    end = next((at for at, line in enumerate(inner) if len(line) - len(line.lstrip()) <= indent), len(inner))
    return "\n".join(inner[:end])


def _allowed(block: str) -> Iterator[str]:
    for name, list_type, literals in _TYPES.findall(block):
        if literals:
            yield from (part.strip().strip("'") for part in literals.split(","))
        elif (name or list_type) in _WORDS:
            yield _WORDS[name or list_type]
