"""Incremental decoding of a text that is being generated."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from convmodel.tokens.text_tokenizer import decode

PREFIX_TAIL = 32
"""Number of last prefix tokens that are decoded together with the first new tokens.

It is larger than the number of tokens of any character.
"""


class StreamingDetokenizer:
    """Incremental decoder of a text that is being generated. Its pieces, joined, equal the complete text in any script.

    Characters that a further token may complete or change are held back, as is a possible beginning of a stop string.

    Args:
        tokenizer: tokenizer of the token ids. With a tokenizer without a Rust backend, all text is returned at the end.
        stop_strings: the text ends before the first occurrence of any of them.
        prefix_ids: token ids of the text that is continued. The prefix is not emitted, but the next token may depend on
            it: a word after another word begins with a space.

    Raises:
        ValueError: when a stop string is empty.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop_strings: Sequence[str] = (), *, prefix_ids: Sequence[int] = ()
    ) -> None:
        if not all(stop_strings):
            raise ValueError(f"stop_strings={list(stop_strings)!r} holds an empty string; leave it out")
        self._tokenizer = tokenizer
        self._stop_strings = tuple(stop_strings)
        self._rust: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids = list(prefix_ids)
        self._settled = len(self._ids)
        self._decoded = decode(tokenizer, prefix_ids) if prefix_ids else ""
        self._emitted = self._decoded
        self._start = len(self._emitted)
        self.stopped = False
        """Whether a stop string has appeared."""
        if self._rust is not None and prefix_ids:
            try:
                pieces = [self._stream.step(self._rust, token) for token in self._ids]
            except Exception:
                pieces = []
            if "".join(piece or "" for piece in pieces) != self._emitted:
                self._rust = None  # the stream holds back a part of the prefix; everything is decoded at the end

    @property
    def text(self) -> str:
        """The text emitted so far."""
        return self._emitted[self._start :]

    def feed(self, token: int) -> str:
        """Add the next token, and return the new piece of text that is now final, which is often empty."""
        self._ids.append(token)
        if self.stopped or self._rust is None:
            return ""
        try:
            piece = self._stream.step(self._rust, token)
        except Exception:  # some decoders change earlier text; everything is decoded at the end
            self._rust = None
            return ""
        if piece:
            self._settled = len(self._ids)
        return self._emit(self._decoded + (piece or ""), is_final=False)

    def finish(self) -> str:
        """Return the rest of the text after the last token."""
        if self.stopped:
            return ""
        whole = decode(self._tokenizer, self._ids)
        if not whole.startswith(self._emitted):  # the emitted text stays, and the rest follows it
            whole = self._decoded + decode(self._tokenizer, self._ids[self._settled :])
        return self._emit(whole, is_final=True)

    def _emit(self, decoded: str, *, is_final: bool) -> str:
        """Return the new part of the decoded text, except for a possible beginning of a stop string."""
        self._decoded = decoded
        start = len(self._emitted)  # the beginning of a stop string was never emitted
        positions = [position for stop in self._stop_strings if (position := decoded.find(stop, start)) >= 0]
        if positions:
            self.stopped = True
            end = min(positions)
        else:
            end = len(decoded) - (0 if is_final else self._uncertain_length(decoded))
        piece = decoded[start:end]
        self._emitted += piece
        return piece

    def _uncertain_length(self, decoded: str) -> int:
        """Return the number of characters at the end that may begin a stop string."""
        longest = max(map(len, self._stop_strings), default=1) - 1
        for size in range(min(longest, len(decoded) - self._start), 0, -1):
            if any(stop.startswith(decoded[-size:]) for stop in self._stop_strings):
                return size
        return 0
