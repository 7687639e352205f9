"""A parsed config and a checkpoint in, one set of options out, and every difference told."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

SIZES = (
    *("n_layer", "n_head", "n_embd", "n_positions", "vocab_size"),
    *("architecture", "layers", "heads", "width", "inner", "positions"),
    *("shared", "pooling", "cosine_scale", "max_context", "max_candidate", "num_codes", "codes", "dropout"),
    *("buckets", "projection", "windows", "encoding", "extra_contexts", "max_tokens"),
)
"""Options of a model that its checkpoint fixes: its sizes, and how it reads."""

SECTIONS = {"model": "hyper_parameters", "data": "datamodule_hyper_parameters"}


def merge_hyperparameters(config: Namespace, explicit: Namespace, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Puts a checkpoint's options between the defaults and what was given explicitly.

    Args:
        config: the whole parsed config of the sub-command; changed in place.
        explicit: only what stood on the command line, in config files or in the environment.
        checkpoint: what torch.load gave.

    Yields:
        A line for each option whose value in the checkpoint is not the one in `config`.

    Raises:
        ValueError: when sizes or a base model were given that are not those of the checkpoint.
    """
    for section, key in SECTIONS.items():
        saved = dict(_flat({k: v for k, v in checkpoint.get(key, {}).items() if not k.startswith("_")}))
        current = dict(_flat(_plain(config[section].init_args)))
        given = _given(explicit.get(section))
        for name in sorted(saved.keys() & current.keys()):
            if saved[name] == current[name]:
                continue
            label = f"{section}.{name}"
            if name in given:
                _check_possible(label, name, current[name], saved[name])
                yield f"{label}: {current[name]} (given; the checkpoint was trained with {saved[name]})"
            else:
                yield f"{label}: {saved[name]} (from the checkpoint; the default is {current[name]})"
                config[f"{section}.init_args.{name}"] = saved[name]


def _check_possible(label: str, name: str, given: Any, saved: Any) -> None:
    if name.split(".")[-1] in SIZES or name == "pretrained_model_name_or_path":
        raise ValueError(
            f"{label}={given}, but the checkpoint has {saved}, which comes with its weights; "
            "leave the option or the checkpoint out"
        )


def _given(section: Any) -> set[str]:
    """The names of the options in a section that somebody wrote down."""
    if section is None:
        return set()
    plain = _plain(section)
    return {name for name, _ in _flat(plain.get("init_args", plain))}


def _plain(values: Any) -> Any:
    return values.as_dict() if isinstance(values, Namespace) else values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, list(value) if isinstance(value, tuple) else value
