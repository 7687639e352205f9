"""Merge the options of a config and a checkpoint, and check config files for duplicate keys."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

SIZES = (
    *("model_type", "n_layer", "n_head", "n_kv_head", "n_embd", "n_positions", "vocab_size"),
    *("architecture", "layers", "heads", "width", "inner", "positions"),
    *("shared", "pooling", "cosine_scale", "max_context", "max_candidate", "num_codes", "codes", "dropout"),
    *("buckets", "projection", "windows", "encoding", "extra_contexts", "max_tokens"),
)
"""Model options that a checkpoint fixes: sizes, pooling, lengths and other options that its weights depend on."""

LORA = ("r", "alpha", "target_modules", "modules_to_save")

FIXED = ("pretrained_model_name_or_path", "optimizer", "lora", *(f"lora.{name}" for name in LORA))
"""Other options that a checkpoint fixes: its base model, its adapters, and what its optimiser's state belongs to."""

MAPPINGS = ("mix", "columns")
"""Options that are mappings of the user's own names, not groups of options."""

SECTIONS = {"model": "hyper_parameters", "data": "datamodule_hyper_parameters"}
"""Sections of the config, and the keys under which a checkpoint holds their options."""


def merge_hyperparameters(config: Namespace, explicit: Namespace, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Merge a checkpoint's options into a config: they override defaults, and explicit options override them.

    Yields a line for each option whose value in the checkpoint differs from the one in `config`. Raises ValueError if
    an explicit option that a checkpoint fixes differs from that of the checkpoint.

    Args:
        config: Parsed config of the subcommand, defaults included; changed in place.
        explicit: Options from the command line, config files and the environment alone.
        checkpoint: Checkpoint as loaded by `torch.load`.
    """
    for section, key in SECTIONS.items():
        saved = {name: value for name, value in checkpoint.get(key, {}).items() if not name.startswith("_")}
        given = _plain(explicit.get(section) or {})
        given = given.get("init_args", given)
        for name, old, current in _differences(saved, _plain(config[section].init_args)):
            label = f"{section}.{name}"
            if _is_given(given, name):
                if name.split(".")[-1] in SIZES or name in FIXED:
                    raise ValueError(
                        f"{label}={current}, but the checkpoint has {old}, which comes with its weights; "
                        "leave the option or the checkpoint out"
                    )
                yield f"{label}: {current} (given; the checkpoint was trained with {old})"
            else:
                yield f"{label}: {old} (from the checkpoint; the default is {current})"
                config[f"{section}.init_args.{name}"] = old


def _plain(values: Any) -> Any:
    return values.as_dict() if isinstance(values, Namespace) else values


def _differences(
    saved: Mapping[str, Any], current: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the saved and the current value of each option that differs; groups of options are entered."""
    for name in sorted(saved.keys() & current.keys()):
        old = list(saved[name]) if isinstance(saved[name], tuple) else saved[name]
        new = list(current[name]) if isinstance(current[name], tuple) else current[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping) and name not in MAPPINGS:
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield prefix + name, old, new


def _is_given(given: Any, name: str) -> bool:
    """Return whether options given by the user contain an option, by its name with dots."""
    for part in name.split("."):
        if not isinstance(given, Mapping) or part not in given:
            return False
        given = given[part]
    return True


def check_duplicate_keys(path: str | Path) -> None:
    """Check that no mapping of a YAML file has a key twice: the loader would silently keep the last one.

    Raises ValueError with both lines, or with the position if the file is not YAML.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such config file; make one with --print_config > {path}")
    pending = [_parsed(path)]
    seen_nodes: set[int] = set()  # an alias repeats a node, perhaps one that contains the alias
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
                f"{path}:{line}: the key {key.value!r} is here and in line {seen[key.tag, key.value]}; "
                "remove one (was --print_config appended with >> to a file that had a config?)"
            )
        seen[key.tag, key.value] = line
