"""Small tokenizers of every family, built in memory. The text of their control tokens is in their vocabularies too."""

from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.conftest import TEXTS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "how", "are", "you", "a", "b", "?"]


def byte_level(**options: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer like GPT-2's: bytes, merges and `<|endoftext|>`."""
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
    """Return a byte-level tokenizer with an end-of-text token and without a separator, like GPT-2's."""
    return byte_level(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def word_level(**options: str | None) -> PreTrainedTokenizerFast:
    """Return a tokenizer of words separated by white space, with `[SEP]` among them."""
    rust = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]", "pad_token": "[PAD]"}
    return PreTrainedTokenizerFast(tokenizer_object=rust, **(names | options))


def word_piece() -> PreTrainedTokenizerFast:
    """Return a tokenizer like BERT's: lower case, with `[CLS]` and `[SEP]` added around every text."""
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
    """Return a `word_piece` tokenizer without lower-casing, so that the text `[SEP]` matches the control token."""
    tokenizer = word_piece()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def unigram() -> PreTrainedTokenizerFast:
    """Return a tokenizer like sentencepiece's: pieces with scores, including `</s>` and `<sep>`."""
    pieces = ["<unk>", "</s>", "<sep>", "▁", "▁a", "a", "b", "hello", "▁hello", *"<>/sep?helo"]
    rust = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(dict.fromkeys(pieces))], unk_id=0))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", sep_token="<sep>", eos_token="</s>")


class Letters(PreTrainedTokenizer):
    """A tokenizer in pure Python with one token per character."""

    def __init__(self, **options: str) -> None:
        letters = ["<unk>", "</s>", *map(chr, range(32, 127))]
        self._ids = {letter: i for i, letter in enumerate(letters)}
        super().__init__(unk_token="<unk>", eos_token="</s>", **options)

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens."""
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        """Return the vocabulary with added tokens."""
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
