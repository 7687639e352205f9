"""`DocumentWriter`: generates documents with a DocumentModel in its own thread."""

import queue
import secrets
from collections.abc import Mapping
from typing import Any

from convmodel.generation.request import SEEDS
from convmodel.models.document_inputs import DocumentModelOutput
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.responders.engine_worker import EngineWorker
from convmodel.responders.handles import GenerationHandle, Pieces


class DocumentWriter(EngineWorker[DocumentModel]):
    """Generates many documents at once, with one model in its own thread; arguments as for `EngineWorker`.

    Example:
        >>> with DocumentWriter.from_pretrained("model") as writer:
        ...     for piece in writer.start("Once upon a time", meta="Cats, dogs"):
        ...         print(piece, end="", flush=True)
    """

    model_class = DocumentModel
    noun = "text"

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        return PRESETS

    def start(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> GenerationHandle[DocumentModelOutput]:
        """Start to generate documents and return at once; see `DocumentGenerator.start`.

        A missing seed is not drawn from torch's global generator, which beam sampling may be using in the thread.
        """
        decoding = self._decoding(options or {})
        pieces: Pieces = queue.SimpleQueue()
        inputs = self._model.prepare(
            prompt,
            meta,
            decoding,
            seed=secrets.randbelow(SEEDS) if seed is None else seed,
            sink=pieces.put if decoding.num_replies == 1 else None,
        )
        handle = GenerationHandle(
            inputs.job,
            pieces,
            on_end=self._release,
            to_result=lambda _, texts: inputs.output(texts),
            text_of=lambda output: output.texts[0],
        )
        return self._submit(handle)
