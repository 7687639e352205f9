"""Tiny models that write documents, and tokenizers of several families that know Russian."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.models.document_model import DocumentModel
from convmodel.tokens.document_tokenizer import DocumentTokenizer

RUSSIAN = [
    "Утром над рекой стоял туман, и кошка ждала у двери.",
    "Старый мастер чинил часы, а за окном шёл мелкий дождь.",
    "Собаки лаяли во дворе; дети бежали к морю и смеялись.",
    "Вечером мы пили чай с вареньем и говорили о далёких городах.",
]
"""What the Russian vocabularies are learned from."""


def network(tokenizer: DocumentTokenizer, *, n_positions: int = 64, seed: int = 0, ending: float = 0.0) -> Any:
    """A GPT-2 with random weights, far enough apart that no two logits are equal."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"n_positions": n_positions, "n_layer": 2, "n_head": 2, "n_embd": 16}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, initializer_range=0.5)).eval()
    with torch.no_grad():
        separator = model.transformer.wte.weight[tokenizer.sep_token_id]
        model.transformer.ln_f.bias += ending * separator / separator.norm()
    return model


def make(tokenizer: DocumentTokenizer, *, n_positions: int = 64, ending: float = 0.0, **limits: Any) -> DocumentModel:
    """A model that writes documents; some end by themselves where `ending` is above 0."""
    return DocumentModel(network(tokenizer, n_positions=n_positions, ending=ending), tokenizer, **limits)


def byte_level(_: Path) -> PreTrainedTokenizerBase:
    """A byte-level BPE."""
    return DocumentTokenizer.learn(RUSSIAN * 3, 360).hf_tokenizer


def unigram(_: Path) -> PreTrainedTokenizerBase:
    """Pieces with scores that mark the beginnings of words, learned by `tokenizers`."""
    rust = Tokenizer(models.Unigram())
    rust.pre_tokenizer, rust.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "</s>", "<sep>"]
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=special, unk_token="<unk>", show_progress=False)
    rust.train_from_iterator(RUSSIAN * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", eos_token="</s>", sep_token="<sep>")


def sentencepiece_unigram(folder: Path) -> PreTrainedTokenizerBase:
    """A model that sentencepiece learned, as T5's."""
    return _sentencepiece(
        folder, "spiece.model", "T5Tokenizer", vocab_size=140, pad_id=0, eos_id=1, unk_id=2, bos_id=-1
    )


def sentencepiece_bpe(folder: Path) -> PreTrainedTokenizerBase:
    """A model that sentencepiece learned, with bytes for what it cannot write, as Llama's."""
    options: dict[str, Any] = {"model_type": "bpe", "byte_fallback": True}
    return _sentencepiece(folder, "tokenizer.model", "LlamaTokenizer", vocab_size=400, **options)


def _sentencepiece(folder: Path, file: str, of: str, **options: Any) -> PreTrainedTokenizerBase:
    quiet: dict[str, Any] = {"minloglevel": 2, "hard_vocab_limit": False}
    with open(folder / file, "wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(RUSSIAN * 20), model_writer=model, **quiet, **options
        )
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": of}))
    result = AutoTokenizer.from_pretrained(folder)
    assert isinstance(result, PreTrainedTokenizerBase)
    return result


FAMILIES: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "byte level": byte_level,
    "unigram": unigram,
    "sentencepiece unigram": sentencepiece_unigram,
    "sentencepiece BPE": sentencepiece_bpe,
}
