"""Reading of pooling, normalization, prompts and the largest length from a folder of sentence-transformers."""

import json
from pathlib import Path
from typing import Any

from convmodel.data.json_file import COPY_AGAIN, read_json_object
from convmodel.models.folder import naming
from convmodel.tokens.text_tokenizer import TextTokenizer

MODULES = "modules.json"

POOLINGS = {"cls": "first", "mean": "mean", "max": "max", "lasttoken": "last"}
"""Supported values of `pooling_mode`, with the corresponding values of `scoring.Pooling`."""

OLD_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of `1_Pooling/config.json` before version 5.4, and the values of `pooling_mode` that they stand for."""

SCALE = 20.0
"""Factor of the cosine in the recommended losses of sentence-transformers."""

REMEDY = "give another model, or only its transformer, without modules.json"


def is_sentence_folder(folder: Path) -> bool:
    """Return whether sentence-transformers saved the folder."""
    return (folder / MODULES).is_file()


def transformer_folder(folder: Path) -> Path:
    """Return the folder of the transformer in a folder of sentence-transformers."""
    return folder / _modules(folder)[0][1]


def sentence_options(folder: Path, tokenizer: TextTokenizer, positions: int) -> dict[str, Any]:
    """Return the arguments of `BiEncoder` with which its scores are proportional to those of sentence-transformers.

    Scores are a multiple of the cosine. If the model does not normalize, and its `similarity_fn_name` is "dot", they
    are dot products.

    Args:
        folder: the folder of sentence-transformers.
        tokenizer: the tokenizer of the transformer.
        positions: the largest number of tokens that the transformer reads.

    Raises:
        ValueError: for modules, poolings, prompts or a tokenizer that a selector cannot reproduce.
    """
    (_, transformer), (_, pooling), *others = _modules(folder)
    _check_tokenizer(folder / transformer, tokenizer)
    config = _optional(folder / "config_sentence_transformers.json")
    prompts = _prompts(config)
    pooled = _pooling(folder / pooling / "config.json", has_prompts=any(prompts.values()))
    is_cosine = bool(others) or config.get("similarity_fn_name") in (None, "cosine")
    length = _max_length(folder / transformer, tokenizer, positions)
    return {
        "pooling": pooled,
        "cosine_scale": SCALE if is_cosine else None,
        "max_context": length,
        "max_candidate": length,
        "speaker_types": False,
        **prompts,
    }


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the class name and the path of each module; raise ValueError for modules that are not supported."""
    file = folder / MODULES
    with naming(str(file)):
        modules = json.loads(file.read_text(encoding="utf-8"))
        rows = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    names = [name for name, _ in rows]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ValueError(
            f"{file}: has the modules {', '.join(names)}; supported are Transformer, Pooling and, optional, Normalize; "
            f"{REMEDY}"
        )
    return rows


def _optional(file: Path) -> dict[str, Any]:
    return read_json_object(file, remedy=COPY_AGAIN) if file.is_file() else {}


def _pooling(file: Path, *, has_prompts: bool) -> str:
    config = read_json_object(file)
    modes = config.get("pooling_mode", [mode for key, mode in OLD_POOLINGS.items() if config.get(key)])
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ValueError(f"{file}: the pooling is {modes}; supported is one of {', '.join(POOLINGS)}; {REMEDY}")
    if has_prompts and not config.get("include_prompt", True):
        raise ValueError(f"{file}: include_prompt is false, but prompts are always part of the vector; {REMEDY}")
    return POOLINGS[modes[0]]


def _prompts(config: dict[str, Any]) -> dict[str, str]:
    """Return the prompts that `encode_query` and `encode_document` of sentence-transformers use, as arguments."""
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name"), "")
    documents = (prompts[name] for name in ("document", "passage", "corpus") if name in prompts)
    found = {"context_prompt": prompts.get("query", default), "candidate_prompt": next(documents, default)}
    return {name: prompt for name, prompt in found.items() if prompt}


def _max_length(folder: Path, tokenizer: TextTokenizer, positions: int) -> int:
    config = _optional(folder / "sentence_bert_config.json")
    longest = config.get("max_seq_length") or tokenizer.hf_tokenizer.model_max_length
    return min(int(longest), positions)


def _check_tokenizer(folder: Path, tokenizer: TextTokenizer) -> None:
    """Raise ValueError unless the tokenizer adds only its first token and the separator to a text, as rows do."""
    own: Any = tokenizer.hf_tokenizer
    around = own("")["input_ids"]
    if around != [own.cls_token_id, tokenizer.sep_token_id]:
        tokens = own.convert_ids_to_tokens(around)
        raise ValueError(
            f"{folder}: the tokenizer adds {tokens} to a text; supported is one token on each side; {REMEDY}"
        )
    config = _optional(folder / "sentence_bert_config.json")
    if config.get("do_lower_case") and tokenizer.encode("A") != tokenizer.encode("a"):
        raise ValueError(f"{folder}: do_lower_case is true, but the tokenizer keeps capital letters; {REMEDY}")
