"""A YAML file in, an error out when it says the same key twice."""

from pathlib import Path

import yaml


def check_no_key_twice(path: str | Path) -> None:
    """Refuses a file in which a mapping has a key twice: YAML would silently keep the last one.

    Raises:
        ValueError: which names the key and both lines.
        FileNotFoundError: when there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such config file; make one with --print_config > {path}")
    with open(path, encoding="utf-8") as file:
        root = yaml.compose(file, Loader=yaml.SafeLoader)
    pending = [root] if root is not None else []
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(
                    f"{path}:{line}: the key {key.value!r} stands here and in line {seen[key.value]}; "
                    "remove one (was --print_config appended with >> to a file that had a config?)"
                )
            seen[key.value] = line
            pending.append(value)
