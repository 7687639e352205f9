"""Texts in, subword ids out, and hashed buckets for what the subwords cannot write: the vocabulary of ConveRT."""

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
"""How many there are, of the paper."""

BUCKET = "bucket "
"""What the names of the buckets begin with. No text becomes one: to a text, a space is `SPACE`."""

SPACE = "\u2581"
"""Stands before each word."""


class ConvertTokenizer(TextTokenizer):
    """Lower-cased subwords (BPE), learned from texts, and hashed buckets for what they cannot write.

    Texts are brought to Unicode's NFKC and lower case, and lose control characters. No subword goes beyond a word, and
    each punctuation mark and symbol stands alone. Characters side by side in a word that the vocabulary
    lacks go into the bucket of their hash, and so does a text of which nothing is left: every text has at least one id.

    Args:
        tokenizer: as `learn` made it.

    Raises:
        ValueError: for another one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer)
        vocabulary = tokenizer.get_vocab()
        self.buckets = sum(name.startswith(BUCKET) for name in vocabulary)
        if not self.buckets or tokenizer.unk_token_id is None:
            raise ValueError("this tokenizer has no buckets; ConveRT reads with one that ConvertTokenizer.learn made")
        self._first_bucket = vocabulary[f"{BUCKET}0"]
        self._unknown = int(tokenizer.unk_token_id)

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int = 31_476, *, buckets: int = BUCKETS) -> "ConvertTokenizer":
        """Learns subwords.

        Args:
            texts: what to learn from; read once, not kept.
            vocab_size: subwords at most; fewer when the texts do not give as many.
            buckets: for what they cannot write.

        Raises:
            ValueError: for a vocabulary below 64, or no buckets.
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
        """A private copy, which also tells where in a text a word stands."""
        copy = Tokenizer.from_str(self.hf_tokenizer.backend_tokenizer.to_str())
        copy.encode_special_tokens = True
        copy.no_truncation()
        copy.no_padding()
        return copy

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """See `TextTokenizer.encode_many`; each text has at least one id."""
        found = super().encode_many(texts)
        odd = [number for number, ids in enumerate(found) if not ids or self._unknown in ids]
        if odd:
            encoded = self._rust.encode_batch([texts[number] for number in odd], add_special_tokens=False)
            for number, each in zip(odd, encoded, strict=True):
                found[number] = self._hashed(texts[number], each.ids, each.offsets)
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The lower-cased text of ids; what went into a bucket cannot be read back, and is left out."""
        return super().decode([each for each in ids if each < self._first_bucket])

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """See `TextTokenizer.save_pretrained`; the file is written without spaces, in half of the room."""
        super().save_pretrained(folder)
        self.hf_tokenizer.backend_tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)

    def _hashed(self, text: str, ids: Sequence[int], places: Sequence[tuple[int, int]]) -> list[int]:
        if not ids:
            return [self._bucket(text)]
        pairs = zip(ids, places, strict=True)
        return [each if each != self._unknown else self._bucket(text[start:stop]) for each, (start, stop) in pairs]

    def _bucket(self, piece: str) -> int:
        """The same in every process and on every machine, which Python's `hash` is not."""
        written = self._rust.normalizer.normalize_str(piece).strip() or piece
        digest = hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self._first_bucket + int.from_bytes(digest, "big") % self.buckets


def _with_buckets(rust: Tokenizer, buckets: int) -> Tokenizer:
    """The same with a row for each bucket behind the subwords."""
    described = json.loads(rust.to_str())
    subwords = described["model"]["vocab"]
    described["model"]["vocab"] = subwords | {f"{BUCKET}{n}": len(subwords) + n for n in range(buckets)}
    return Tokenizer.from_str(json.dumps(described))
