"""Cache of learned vocabularies and tokenised files, on disk between runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_info
from tqdm.auto import tqdm

from convmodel.data.atomic import atomic_folder, check_folder_writable, file_lock
from convmodel.data.conversation import ConversationReader
from convmodel.data.options import OnError
from convmodel.data.reader import Reader
from convmodel.data.sides import make_sides
from convmodel.data.user_folders import cache_folder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import Segments, TokenStore, store_key
from convmodel.tokens.text_tokenizer import AnyTokenizer, TextTokenizer


class TokenCache:
    """Cache of vocabularies and tokens. Results for the same file contents and options are loaded instead of computed.

    Args:
        folder: Folder of the cache; `~/.cache/convmodel` (or $CONVMODEL_CACHE) if None.
        on_error: Action of readers for an invalid line.
        to_segments: Function that returns the texts of an example in the form in which a token store keeps them.
    """

    def __init__(self, folder: str | None, on_error: OnError, to_segments: Callable[[Any], Segments]) -> None:
        self._folder = Path(folder) if folder else cache_folder()
        self._on_error = on_error
        self._to_segments = to_segments

    def learn_tokenizer(
        self, reader: Reader[Any, Any, Any], tokenizer_class: type[AnyTokenizer], vocab_size: int, **options: Any
    ) -> AnyTokenizer:
        """Learn a vocabulary from files, or load it. `options` are those of the tokenizer's `learn`."""
        # The noun distinguishes readers of other kinds, which take other texts from the same file.
        kind = "" if reader.noun == ConversationReader.noun else f"-{reader.noun}"
        kind += "" if tokenizer_class is ConversationTokenizer else f"-{tokenizer_class.__name__}"
        kind += "".join(f"-{name}-{value}" for name, value in options.items())
        folder = self._folder / "vocabularies" / f"{reader.fingerprint()}-{self._on_error}-{vocab_size}{kind}"
        if not folder.is_dir():
            self._check_writable()
            folder.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as lock:
                with suppress(OSError):  # without locks each process learns the same vocabulary
                    lock.enter_context(file_lock(folder.parent, wait=True))
                if not folder.is_dir():
                    rank_zero_info(f"Learning a vocabulary of {vocab_size:,} tokens from {reader.source}")
                    texts = self._vocabulary_texts(reader, sides="max_speakers" not in options)
                    learned = tokenizer_class.learn(texts, vocab_size, **options)
                    with atomic_folder(folder) as temporary:
                        learned.save_pretrained(temporary)
        return tokenizer_class.from_pretrained(folder)

    def _check_writable(self) -> None:
        try:
            check_folder_writable(self._folder)
        except OSError as error:
            raise OSError(f"{error} (data.cache_dir, or $CONVMODEL_CACHE)") from None

    def _vocabulary_texts(self, reader: Reader[Any, Any, Any], *, sides: bool) -> Iterator[str]:
        """Yield the texts from which a vocabulary is learned, without distractors.

        With `sides`, turns of named speakers include the names that a layout of two sides writes before them.
        """
        for example in reader:
            prefix, turns, candidates = self._to_segments(example)
            names = getattr(example, "speakers", None) if sides else None
            said = turns if names is None else _with_names(turns, names)
            yield from (*prefix, *said, *candidates[:1])

    def tokenise(self, reader: Reader[Any, Any, Any], tokenizer: TextTokenizer) -> TokenStore:
        """Return the token store of files; tokenise them if it is not in the cache."""
        named = {"named": True} if isinstance(reader, ConversationReader) and reader.named else {}
        key = store_key(reader.fingerprint(), tokenizer, on_error=self._on_error, of=reader.noun, **named)
        folder = self._folder / "tokens" / key
        if not folder.is_dir():
            self._check_writable()
            unit = f" {reader.noun}s"
            progress = tqdm(reader, desc=f"Tokenising {reader.source}", unit=unit, disable=None, leave=False)
            TokenStore.build(
                progress, tokenizer, folder, to_segments=self._to_segments, describe=lambda: reader.report.summary()
            )
        return TokenStore(folder)


def _with_names(turns: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield the texts of conversations read as two sides, in which names precede the texts of the others."""
    for side in make_sides(turns, names, names[-1]):
        yield "".join(words + text for words, text in side.parts)
