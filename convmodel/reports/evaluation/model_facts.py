"""Facts about a generative model for its report, its decoding configuration, and its texts for many examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tqdm.auto import tqdm

from convmodel.generation.options import DecodingConfig
from convmodel.models.devices import dtype_name
from convmodel.models.folder import weights_digest
from convmodel.models.language_model import LanguageModel
from convmodel.tokens.store import store_key

GROUP = 128
"""Texts per step of the progress bar; it has no effect on the texts."""

CHANGING = ("transformers_version", "dtype", "architectures", "_name_or_path")
"""Settings that no text depends on."""

Item = TypeVar("Item")
Output = TypeVar("Output")


def model_facts(model: LanguageModel[Any], source: str, *also: object) -> dict[str, Any]:
    """Return the facts for the report of a model loaded from `source`; `also` are further values it depends on."""
    return {
        "source": source,
        "fingerprint": model_fingerprint(model, *also),
        "parameters": model.hf_model.num_parameters(),
        "n_positions": model.n_positions,
        "vocab_size": len(model.tokenizer),
        "dtype": dtype_name(model.hf_model.dtype),
    }


def model_fingerprint(model: LanguageModel[Any], *also: object) -> str:
    """Return a digest of everything that a text depends on except decoding; it does not depend on the model's path."""
    config = model.hf_model.config
    # Settings that the shapes of the weights do not show are among these.
    settings = sorted((name, repr(value)) for name, value in config.to_diff_dict().items() if name not in CHANGING)
    return weights_digest((store_key("", model.tokenizer), settings, *also), model.hf_model.state_dict())


def decoding_of(model: LanguageModel[Any], options: Mapping[str, Any]) -> DecodingConfig:
    """Return the complete decoding configuration of a model; raise ValueError for invalid options."""
    try:
        return model.decoding(**options)
    except (ValueError, TypeError) as error:  # transformers raises either for some values
        raise ValueError(f"decoding options {dict(options)}: {_on_one_line(error)}") from error


def generate_all(
    items: Sequence[Item],
    generate: Callable[[Sequence[Item]], Sequence[Output]],
    *,
    desc: str,
    describe: Callable[[Item], str],
    decoding: Mapping[str, Any],
) -> Iterator[tuple[Item, Output]]:
    """Yield each item with its output, generated in groups with a progress bar on a terminal.

    Raises:
        ValueError: when the model cannot generate; `describe` names its work: "reply to conversation 3".
    """
    with tqdm(total=len(items), desc=desc, unit="", disable=None, leave=False) as progress:
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            try:
                outputs = generate(group)
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"the model cannot {describe(group[0])} or one of the {len(group) - 1} after it with the decoding "
                    f"options {dict(decoding)}: {_on_one_line(error)}"
                ) from error
            yield from zip(group, outputs, strict=True)
            progress.update(len(group))


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
