"""A YAML file in, an error out when it says the same key twice."""

from pathlib import Path

import yaml


def check_no_key_twice(path: str | Path) -> None:
    """Refuses a file in which a mapping has a key twice: YAML would silently keep the last one.

    Raises:
        ValueError: which names the key and both lines, or says where the file is no YAML at all.
        FileNotFoundError: when there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such config file; make one with --print_config > {path}")
    pending = [_parsed(path)]
    seen_nodes: set[int] = set()  # an alias names a node that was met before, perhaps one that it stands in
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            _check(node, path)
            pending.extend(value for _, value in node.value)


def _parsed(path: str | Path) -> yaml.Node | None:
    try:
        return yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise ValueError(f"{path}{line}: is not YAML ({error.problem}); correct it there or just before") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is not YAML ({str(error).splitlines()[0]})") from None


def _check(mapping: yaml.MappingNode, path: str | Path) -> None:
    seen: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if (key.tag, key.value) in seen:
            raise ValueError(
                f"{path}:{line}: the key {key.value!r} stands here and in line {seen[key.tag, key.value]}; "
                "remove one (was --print_config appended with >> to a file that had a config?)"
            )
        seen[key.tag, key.value] = line
