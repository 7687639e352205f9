"""JSON files: one list or object of conversations, of any size and layout, or several values one after the other."""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Item, Problem, Record, quote_names
from convmodel.data.json_columns import find_columns, find_split_columns, is_columnar, read_columns, read_split
from convmodel.data.json_stream import take_depth
from convmodel.data.options import ReadOptions
from convmodel.data.shapes.reading import read_items
from convmodel.data.shapes.registry import fits_shape, is_message

_BEGINNING = re.compile(r"""\s*(\{\s*(["'}]|$)|\[\s*(["'\[{\]]|$))""")
_MAX_DEPTH = 3
_COMPANIONS = (
    *("ontology.json", "schema.json", "dialogue_acts.json", "dialog_acts.json", "system_acts.json"),
    *("slot_descriptions.json", "package.json", "config.json", "dataset_info.json", "dataset_infos.json", "state.json"),
)
"""Files of MultiWOZ and other data sets that hold no conversations."""


def looks_like_json(line: str) -> bool:
    """Return whether a line begins like a list or an object of JSON: not like `[24.12.23, 18:03:11] Ida: Hello`."""
    return _BEGINNING.match(line) is not None


def find_depth(value: Any, options: ReadOptions) -> int | None:
    """Return the nesting depth of the conversations in a JSON value, 0 for the value itself; None if there are none.

    Lists of strings count as conversations only if there are no others.

    Args:
        value: the value, or its beginning.
        options: the options of the reader.
    """
    depth = _find_depth(value, options, texts=False)
    return _find_depth(value, options, texts=True) if depth is None else depth


def _find_depth(value: Any, options: ReadOptions, *, texts: bool) -> int | None:
    if fits_shape(value, options) and (texts or not _is_texts(value)):
        return 0
    for child in _list_members(value, options):
        depth = _find_depth(child, options, texts=texts)
        if depth is not None and depth < _MAX_DEPTH:
            return depth + 1
    return None


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _find_others(head: Head) -> set[str]:
    """Return the keys of the object of a file whose lists and objects hold no conversations."""
    value = head.value
    if not isinstance(value, dict):
        return set()
    texts = _find_depth(value, head.options, texts=False) is None
    members = {key: child for key, child in value.items() if child and isinstance(child, dict | list)}
    others = {key for key, child in members.items() if _find_depth(child, head.options, texts=texts) is None}
    return others - ({next(reversed(value))} if head.is_cut_off else set())


def _list_members(value: Any, options: ReadOptions) -> list[Any]:
    """Return the members of a list or an object that may be, or hold, conversations."""
    if isinstance(value, list):
        # If the user names columns, a list of objects is a table, not a list of messages.
        has_columns = bool(options.roles)
        return [child for child in value if isinstance(child, dict | list) and (has_columns or not is_message(child))]
    if not isinstance(value, dict):
        return []
    # A list of strings beside other values is unlikely to be a conversation.
    texts = [isinstance(child, list) and isinstance((child or [None])[0], str) for child in value.values()]
    members = zip(value.values(), texts, strict=True)
    return [child for child, is_text in members if isinstance(child, dict | list) and (not is_text or all(texts))]


def holds_several(head: Head) -> bool:
    """Return whether the first value of a file is a list or an object of conversations, or of columns."""
    is_table = is_columnar(head.value, head.options) or bool(find_split_columns(head.value, head.options))
    return is_table or bool(find_depth(head.value, head.options))


def score(head: Head) -> Certainty:
    """Return LIKELY if the file begins with a list or an object that is not a line of JSON Lines; NONE otherwise."""
    if not looks_like_json(head.lines[0]) or head.value is None:
        return Certainty.LIKELY if head.lines[0].strip() in ("[", "{", "[{", "[[") else Certainty.NONE
    is_line = head.line_value(head.lines[0]) is not None
    if is_line and (len(head.lines) > 1 or not holds_several(head)):
        return Certainty.NONE  # JSON Lines
    return Certainty.LIKELY


def find_fault(head: Head) -> str | None:
    """Return an error message if the name or the beginning of a file shows that it holds no conversation, or None."""
    if PurePath(head.file.name).name.lower() in _COMPANIONS:
        return "is a file of a data set that holds no conversations"
    is_whole = isinstance(head.value, list) or not head.is_cut_off
    if head.value is None or not is_whole or find_depth(head.value, head.options) is not None or holds_several(head):
        return None
    keys = f" (its keys: {quote_names(head.value)})" if isinstance(head.value, dict) else ""
    return f"no conversation is in it{keys}"


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per conversation, each with the line on which it begins."""
    if names := find_split_columns(file.head.value, file.options):
        file.notes.add("columns and data")
        return read_items(read_split(file, names), file.options, file.notes, unit="row")
    if columns := find_columns(file):
        file.notes.add("column by column")
        return read_items(read_columns(file, columns), file.options, file.notes, unit="row")
    depth = find_depth(file.head.value, file.options)
    if depth is None:
        depth = 1 if file.head.text.lstrip().startswith("[") else 0
    return read_items(_items(file, depth), file.options, file.notes, unit="value")


def _items(file: DataFile, depth: int) -> Iterator[Item]:
    """Yield the values at a nesting depth, without values that are not conversations, such as a version number."""
    others = _find_others(file.head) if depth > 0 else set()
    if others:
        file.notes.left_out["other value"] += len(others)
    has_texts = _find_depth(file.head.value, file.options, texts=False) is None
    for item in file.values(take_depth(depth)):
        is_other = bool(item.path) and item.path[0] in others
        if depth > 1 and item.problem is None:
            is_list = isinstance(item.value, list) and (has_texts or (item.value != [] and not _is_texts(item.value)))
            is_other = is_other or not (is_list or isinstance(item.value, dict))
        if not is_other:
            yield item


JSON = FileFormat("json", "JSON", "conversation", (".json",), score, read, find_fault)
