"""Prompts of many people in, their documents out, piece by piece."""

import queue
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from convmodel.generation.seeds import SEEDS
from convmodel.models.document_inputs import DocumentModelOutput, PreparedDocument
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.responders.engine_worker import EngineThread
from convmodel.responders.handles import GenerationHandle, Pieces


class DocumentWriter(EngineThread[DocumentModel]):
    """Writes many documents at once, on one model, in one thread of its own; arguments as for `EngineThread`.

    Example:
        >>> with DocumentWriter.from_pretrained("model") as writer:
        ...     for piece in writer.start("Once upon a time", meta="Cats, dogs"):
        ...         print(piece, end="", flush=True)
    """

    model_class = DocumentModel
    noun = "text"

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name."""
        return PRESETS

    def start(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> "DocumentInProgress":
        """Begins to write and returns at once; see `WritesDocuments.start`.

        A seed that is not given is not drawn from torch's global generator: beams may be sampled from it just then.

        Raises:
            TypeError, ValueError: for a prompt, a meta or options that cannot be followed.
            QueueFull: when too many requests wait.
            RuntimeError: when the writer was closed.
        """
        how = self._decoding(options or {})
        pieces: Pieces = queue.SimpleQueue()
        asked = self._model.prepare(
            prompt,
            meta,
            how,
            seed=secrets.randbelow(SEEDS) if seed is None else seed,
            sink=pieces.put if how.replies == 1 else None,
        )
        return self._take(DocumentInProgress(asked, pieces, self._over))


class DocumentInProgress(GenerationHandle):
    """A document that is being written: iterate over it for pieces of its text as soon as they are certain.

    Of several documents the pieces are those of the first, in one piece when all are written.

    Args:
        asked: what is gone on with.
        pieces, over: see `GenerationHandle`.
    """

    def __init__(self, asked: PreparedDocument, pieces: Pieces, over: Callable[[], None]) -> None:
        super().__init__(asked.prepared, pieces, over)
        self._asked = asked

    def _text(self) -> str:
        return self.output().texts[0]

    def output(self) -> DocumentModelOutput:
        """Waits for the end. Raises what went wrong."""
        return self._asked.output(self.written())
