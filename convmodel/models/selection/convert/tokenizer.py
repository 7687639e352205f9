"""The tokenizer of ConveRT: lower-cased subwords, and hash buckets for characters outside of the vocabulary."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.tokens.text_tokenizer import SEP_TOKEN, TextTokenizer

UNKNOWN = "<unk>"
BUCKETS = 1_000
"""Number of hash buckets in the paper."""

BUCKET = "bucket "
"""Prefix of the buckets' token names. No text is encoded as such a token, because spaces in texts become `SPACE`."""

SPACE = "\u2581"
"""Marker of the beginning of a word."""


class ConvertTokenizer(TextTokenizer):
    """A tokenizer with lower-cased BPE subwords learned from texts, and hash buckets for other characters.

    Texts are normalized to NFKC and lower case, without control characters. Subwords do not cross word boundaries, and
    each punctuation mark and symbol is a separate token. A run of characters that the vocabulary lacks is mapped to one
    of the hash buckets. A text that is empty after normalization is mapped to a bucket too, so that every text has at
    least one id. `learn` creates the transformers tokenizer.

    Raises:
        ValueError: for a transformers tokenizer without buckets.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer)
        vocabulary = tokenizer.get_vocab()
        self.buckets = sum(name.startswith(BUCKET) for name in vocabulary)
        if not self.buckets or tokenizer.unk_token_id is None:
            raise ValueError("this tokenizer has no buckets; ConveRT needs a tokenizer from ConvertTokenizer.learn")
        self._first_bucket = vocabulary[f"{BUCKET}0"]
        self._unknown = int(tokenizer.unk_token_id)

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int = 31_476, *, buckets: int = BUCKETS) -> "ConvertTokenizer":
        """Learn a vocabulary of at most `vocab_size` subwords from texts, which are read once.

        Raises:
            ValueError: for a `vocab_size` below 64, or less than one bucket.
        """
        if vocab_size < 64 or buckets < 1:
            raise ValueError(f"vocab_size={vocab_size}, buckets={buckets}; at least 64 and 1 are needed")
        control = [UNKNOWN, SEP_TOKEN]
        rust = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
        rust.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=False)]
        )
        marks = pre_tokenizers.Split(Regex(rf"[\p{{P}}\p{{S}}&&[^{SPACE}]]"), "isolated")
        rust.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(SPACE), marks])
        rust.decoder = decoders.Metaspace(SPACE)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            limit_alphabet=vocab_size // 2,
            special_tokens=[AddedToken(token, special=True, normalized=False) for token in control],
            show_progress=False,
        )
        rust.train_from_iterator(texts, trainer)
        return cls(
            PreTrainedTokenizerFast(
                tokenizer_object=_with_buckets(rust, buckets),
                unk_token=UNKNOWN,
                sep_token=SEP_TOKEN,
                pad_token=SEP_TOKEN,
                clean_up_tokenization_spaces=False,
            )
        )

    @cached_property
    def _rust(self) -> Tokenizer:
        """A copy of the tokenizer that also returns the offsets of tokens in the text."""
        copy = Tokenizer.from_str(self.hf_tokenizer.backend_tokenizer.to_str())
        copy.encode_special_tokens = True
        copy.no_truncation()
        copy.no_padding()
        return copy

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """See `TextTokenizer.encode_many`; each text has at least one id."""
        results = super().encode_many(texts)
        incomplete = [index for index, ids in enumerate(results) if not ids or self._unknown in ids]
        if incomplete:
            encodings = self._rust.encode_batch([texts[index] for index in incomplete], add_special_tokens=False)
            for index, encoding in zip(incomplete, encodings, strict=True):
                results[index] = self._with_bucket_ids(texts[index], encoding.ids, encoding.offsets)
        return results

    def decode(self, ids: Sequence[int]) -> str:
        """Return the lower-cased text of ids, without the contents of buckets, which cannot be restored."""
        return super().decode([token for token in ids if token < self._first_bucket])

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """See `TextTokenizer.save_pretrained`; the JSON is written without white space, which halves its size."""
        super().save_pretrained(folder)
        self.hf_tokenizer.backend_tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)

    def _with_bucket_ids(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
        if not ids:
            return [self._bucket(text)]
        pairs = zip(ids, offsets, strict=True)
        return [token if token != self._unknown else self._bucket(text[start:stop]) for token, (start, stop) in pairs]

    def _bucket(self, substring: str) -> int:
        """Return the bucket id of a substring; unlike Python's `hash`, it is the same in every process."""
        normalized = self._rust.normalizer.normalize_str(substring).strip() or substring
        digest = hashlib.blake2b(normalized.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self._first_bucket + int.from_bytes(digest, "big") % self.buckets


def _with_buckets(rust: Tokenizer, buckets: int) -> Tokenizer:
    """Return the tokenizer with a token for each bucket after the subwords."""
    config = json.loads(rust.to_str())
    subwords = config["model"]["vocab"]
    config["model"]["vocab"] = subwords | {f"{BUCKET}{n}": len(subwords) + n for n in range(buckets)}
    return Tokenizer.from_str(json.dumps(config))
