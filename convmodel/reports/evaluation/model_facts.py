"""Generative models in evaluation: facts for the report, decoding configuration, and generation for all examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tqdm.auto import tqdm

from convmodel.generation.options import DecodingConfig
from convmodel.models.devices import dtype_name
from convmodel.models.folder import weights_digest
from convmodel.models.language_model import LanguageModel
from convmodel.tokens.store import store_key

GROUP = 128
"""Number of texts per step of the progress bar. It has no effect on the texts."""

CHANGING = ("transformers_version", "dtype", "architectures", "_name_or_path")
"""Settings of the model's config that have no effect on its texts."""

Item = TypeVar("Item")
Output = TypeVar("Output")


def model_facts(model: LanguageModel[Any], source: str, *also: object) -> dict[str, Any]:
    """Return the facts about a model for the report.

    Args:
        model: the model.
        source: folder or name from which the model was loaded.
        also: further values on which the fingerprint depends.
    """
    return {
        "source": source,
        "fingerprint": model_fingerprint(model, *also),
        "parameters": model.hf_model.num_parameters(),
        "n_positions": model.n_positions,
        "vocab_size": len(model.tokenizer),
        "dtype": dtype_name(model.hf_model.dtype),
    }


def model_fingerprint(model: LanguageModel[Any], *also: object) -> str:
    """Return a digest of weights, config and tokenizer, and of the values `also`.

    The digest does not depend on the path of the model.
    """
    config = model.hf_model.config
    # Some settings, such as the number of heads, are not visible in the shapes of the weights.
    settings = sorted((name, repr(value)) for name, value in config.to_diff_dict().items() if name not in CHANGING)
    return weights_digest((store_key("", model.tokenizer), settings, *also), model.hf_model.state_dict())


def decoding_of(model: LanguageModel[Any], options: Mapping[str, Any]) -> DecodingConfig:
    """Return the complete decoding configuration of a model. Raises ValueError for invalid options."""
    try:
        return model.decoding(**options)
    except (ValueError, TypeError) as error:  # transformers raises one of them, by the value
        raise ValueError(f"decoding options {dict(options)}: {_on_one_line(error)}") from error


def generate_all(
    items: Sequence[Item],
    generate: Callable[[Sequence[Item]], Sequence[Output]],
    *,
    desc: str,
    describe: Callable[[Item], str],
    decoding: Mapping[str, Any],
) -> Iterator[tuple[Item, Output]]:
    """Yield each item with its output, with a progress bar on a terminal.

    Args:
        items: the inputs.
        generate: function that returns the outputs of a group of items.
        desc: title of the progress bar.
        describe: function that describes the task for an item in an error message: "reply to conversation 3".
        decoding: decoding options, for an error message.

    Raises:
        ValueError: if the model cannot generate.
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
