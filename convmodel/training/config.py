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
"""Model options that may not differ from the checkpoint's, because its weights depend on them."""

LORA = ("r", "alpha", "target_modules", "modules_to_save")

FIXED = ("pretrained_model_name_or_path", "optimizer", "lora", *(f"lora.{name}" for name in LORA))
"""Other options that may not differ from the checkpoint's: base model, optimiser and adapters."""

RESOLVED = ("optimizer",)
"""Options whose null is resolved when a run begins, so that its checkpoints name what was used."""

MAPPINGS = ("mix", "columns")
"""Options whose value is a mapping with free keys, such as file names. It is compared as one value."""

SECTIONS = {"model": "hyper_parameters", "data": "datamodule_hyper_parameters"}
"""Sections of the config, and the keys under which a checkpoint holds their options."""


def merge_hyperparameters(config: Namespace, explicit: Namespace, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Merge a checkpoint's options into a config: they override defaults, and explicit options override them.

    Yields a line for each option whose value in the checkpoint differs from the value in `config`. Raises ValueError if
    an explicit option differs from the checkpoint and is one of `SIZES` or `FIXED`.

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
                        f"{label}={current}, but the checkpoint has {old}, on which its weights depend; "
                        "leave the option or the checkpoint out"
                    )
                yield f"{label}: {current} (given; the checkpoint was trained with {old})"
            else:
                if name not in RESOLVED or current is not None:
                    yield f"{label}: {old} (from the checkpoint; the default is {current})"
                config[f"{section}.init_args.{name}"] = old


def _plain(values: Any) -> Any:
    return values.as_dict() if isinstance(values, Namespace) else values


def _differences(
    saved: Mapping[str, Any], current: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, saved value and current value of each option that differs; a nested option has a name with dots."""
    for name in sorted(saved.keys() & current.keys()):
        old = list(saved[name]) if isinstance(saved[name], tuple) else saved[name]
        new = list(current[name]) if isinstance(current[name], tuple) else current[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping) and name not in MAPPINGS:
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield prefix + name, old, new


def _is_given(given: Any, name: str) -> bool:
    """Return whether the user gave an option. `name` may have dots, such as `lora.r`."""
    for part in name.split("."):
        if not isinstance(given, Mapping) or part not in given:
            return False
        given = given[part]
    return True


def check_duplicate_keys(path: str | Path) -> None:
    """Raise ValueError if a mapping of a YAML file has a key twice; the loader would silently keep the last value.

    The message names the lines of both keys. A file that is not YAML also raises ValueError, with the position of the
    error, and a missing file raises FileNotFoundError.
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
