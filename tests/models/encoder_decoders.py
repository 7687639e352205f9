"""Folders of tiny encoder-decoders with random weights, and tokenizers of their own classes."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartTokenizer,
    BlenderbotConfig,
    BlenderbotSmallConfig,
    BlenderbotSmallTokenizer,
    BlenderbotTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5Tokenizer,
)

from tests.conftest import TEXTS

KINDS = ("t5", "bart", "blenderbot", "blenderbot-small")

BART_LIKE: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 64,
    "init_std": 0.5,
}


def _config(kind: str, rows: int) -> PretrainedConfig:
    ids: dict[str, Any] = {"vocab_size": rows, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "t5":
        sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
        ids |= {"eos_token_id": 1, "decoder_start_token_id": 0}
        return T5Config(**sizes, **ids, initializer_factor=4.0)
    if kind == "bart":
        return BartConfig(vocab_size=rows, **BART_LIKE)
    cls: Any = BlenderbotConfig if kind == "blenderbot" else BlenderbotSmallConfig
    return cast(PretrainedConfig, cls(**ids, decoder_start_token_id=1, **BART_LIKE))


def _bytes(special: list[str]) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """Return a byte-level vocabulary that begins with special tokens, and its merges."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: Any = {"special_tokens": special, "initial_alphabet": alphabet, "show_progress": False}
    trainer = trainers.BpeTrainer(vocab_size=300, **options)
    rust.train_from_iterator([*TEXTS, "A  B  C"] * 3, trainer)
    model = json.loads(rust.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _tokenizer(kind: str, folder: Path) -> PreTrainedTokenizerBase:
    if kind == "t5":
        letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
        pieces += [(piece, -3.0) for letter in letters for piece in (letter, f"\u2581{letter}")]
        pieces += [("\u2581you", -1.0), ("\u2581music", -1.0)]
        return cast(PreTrainedTokenizerBase, T5Tokenizer(vocab=pieces, extra_ids=2))
    if kind == "blenderbot-small":
        letters = sorted({letter for text in TEXTS for letter in f"{text.lower()}:" if letter != " "})
        words = ["__null__", "__start__", "__end__", "__unk__", "__newln__", "you</w>", "music</w>"]
        words += [piece for letter in letters for piece in (letter, f"{letter}@@", f"{letter}</w>")]
        (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        return BlenderbotSmallTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    first = ["<s>", "<pad>"] if kind == "bart" else ["<pad>", "<s>"]
    vocabulary, merges = _bytes([*first, "</s>", "<unk>", "<mask>"])
    cls: Any = BartTokenizer if kind == "bart" else BlenderbotTokenizer
    tokenizer = cls(vocab=vocabulary, merges=merges)
    if kind == "blenderbot":  # as the published files have it
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 2)]
        )
    return cast(PreTrainedTokenizerBase, tokenizer)


def save_tokenizer(folder: Path, kind: str) -> int:
    """Save a tokenizer, and return its number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(kind, folder)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_encoder_decoder(folder: Path, kind: str) -> PreTrainedModel:
    """Save a tiny model and its tokenizer, and return the model."""
    rows = save_tokenizer(folder, kind)
    torch.manual_seed(4)
    network: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(_config(kind, rows))
    if kind == "bart":
        cast(Any, network).generation_config.forced_bos_token_id = 0
    network.eval().save_pretrained(folder)
    return network
