"""Tokenizers of every family, built in memory, all of which hold their control tokens as words."""

from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.conftest import TEXTS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "how", "are", "you", "a", "b", "?"]


def byte_level(**options: str) -> PreTrainedTokenizerFast:
    """As GPT-2's: bytes, merges and `<|endoftext|>`."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=rust, **options)


def end_of_text() -> PreTrainedTokenizerFast:
    """A byte-level vocabulary with an end of text and no separator, as GPT-2's."""
    return byte_level(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def word_level(**options: str | None) -> PreTrainedTokenizerFast:
    """Words between white space, `[SEP]` one of them."""
    rust = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]", "pad_token": "[PAD]"}
    return PreTrainedTokenizerFast(tokenizer_object=rust, **(names | options))


def word_piece() -> PreTrainedTokenizerFast:
    """As BERT's: lower case, and `[CLS]` and `[SEP]` put around every text by the tokenizer itself."""
    vocabulary = {word: i for i, word in enumerate([*WORDS, "##lo", "hel", "##s", "[", "]", "sep", "cls"])}
    rust = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(lowercase=True)
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rust.decoder = decoders.WordPiece()
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rust, unk_token="[UNK]", sep_token="[SEP]", cls_token="[CLS]", pad_token="[PAD]"
    )


def cased_word_piece() -> PreTrainedTokenizerFast:
    """The same without lower case, so that the word `[SEP]` stays the control token's."""
    tokenizer = word_piece()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def unigram() -> PreTrainedTokenizerFast:
    """As sentencepiece's: pieces with scores, `</s>` and `<sep>` among them."""
    pieces = ["<unk>", "</s>", "<sep>", "▁", "▁a", "a", "b", "hello", "▁hello", *"<>/sep?helo"]
    rust = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(dict.fromkeys(pieces))], unk_id=0))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", sep_token="<sep>", eos_token="</s>")


class Letters(PreTrainedTokenizer):
    """A tokenizer in Python, without a Rust part: one token a character."""

    def __init__(self, **options: str) -> None:
        letters = ["<unk>", "</s>", *map(chr, range(32, 127))]
        self._ids = {letter: i for i, letter in enumerate(letters)}
        super().__init__(unk_token="<unk>", eos_token="</s>", **options)

    @property
    def vocab_size(self) -> int:
        """Without added tokens."""
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        """With added tokens."""
        return self._ids | self.added_tokens_encoder

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return list(self._ids)[index]


FAMILIES: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "byte level": end_of_text,
    "word level": word_level,
    "word piece": word_piece,
    "cased word piece": cased_word_piece,
    "unigram": unigram,
    "letters in Python": Letters,
}
