"""Token ids in, one by one; text out as soon as it is certain."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase


class StreamingDetokenizer:
    """The text of a reply while it is being written. Its pieces, joined, are the whole text, whatever the script.

    Characters that a further token may yet complete or change are held back, and so is what may become a stop string.

    Args:
        tokenizer: whose tokens come. One without a Rust part gives its text at the end.
        stop_strings: the text ends before the first of them.
        begun: tokens of the text that it goes on, which is not given out: what stands before a token may decide how it
            is written (a word that follows another begins with a space).

    Raises:
        ValueError: when a stop string is empty.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop_strings: Sequence[str] = (), *, prefix_ids: Sequence[int] = ()
    ) -> None:
        if not all(stop_strings):
            raise ValueError(f"stop_strings={list(stop_strings)!r} holds an empty string; leave it out")
        self._tokenizer, self._stop_strings = tokenizer, tuple(stop_strings)
        self._rust: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids = list(prefix_ids)
        self._settled = len(self._ids)
        self._decoded = self._given = decode(tokenizer, prefix_ids) if prefix_ids else ""
        self._start = len(self._given)
        self.stopped = False
        """Whether a stop string came."""
        if self._rust is not None and prefix_ids:
            self._go_on(self._rust)

    def _go_on(self, rust: Tokenizer) -> None:
        """Lets the stream read what was there before."""
        try:
            pieces = [self._stream.step(rust, token) for token in self._ids]
        except Exception:
            pieces = []
        if "".join(piece or "" for piece in pieces) != self._given:
            self._rust = None  # something is held back that is no part of what is to come: the end will tell

    @property
    def text(self) -> str:
        """What was given out so far."""
        return self._given[self._start :]

    def feed(self, token: int) -> str:
        """Takes the next token; returns the text that is certain now, often none."""
        self._ids.append(token)
        if self.stopped or self._rust is None:
            return ""
        try:
            piece = self._stream.step(self._rust, token)
        except Exception:  # some decoders change what they said before; the end will tell
            self._rust = None
            return ""
        if piece:
            self._settled = len(self._ids)
        return self._give(self._decoded + (piece or ""), over=False)

    def finish(self) -> str:
        """The rest of the text, when no further token comes."""
        if self.stopped:
            return ""
        whole = decode(self._tokenizer, self._ids)
        if not whole.startswith(self._given):  # what was given out stays, and nothing after it is lost
            whole = self._decoded + decode(self._tokenizer, self._ids[self._settled :])
        return self._give(whole, over=True)

    def _give(self, decoded: str, *, over: bool) -> str:
        """Gives out what is new in the decoded text and certain not to be, or become, a stop string."""
        self._decoded = decoded
        start = len(self._given)  # what may begin a stop string was never given out
        found = [place for stop in self._stop_strings if (place := decoded.find(stop, start)) >= 0]
        if found:
            self.stopped = True
            end = min(found)
        else:
            end = len(decoded) - (0 if over else self._uncertain(decoded))
        piece = decoded[start:end]
        self._given += piece
        return piece

    def _uncertain(self, decoded: str) -> int:
        """How many characters at the end begin a stop string."""
        longest = max(map(len, self._stop_strings), default=1) - 1
        for size in range(min(longest, len(decoded) - self._start), 0, -1):
            if any(stop.startswith(decoded[-size:]) for stop in self._stop_strings):
                return size
        return 0


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of ids; control tokens are left out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
