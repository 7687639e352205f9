"""Protocols of document generation: `DocumentGenerator` and its output, free of torch for the server's sake."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from convmodel.data.document import Meta
from convmodel.responders.protocol import Finish, Generator, ReplyHandle


class DocumentOutput(Protocol):
    """Generated texts; for the fields see `convmodel.models.document_inputs.DocumentModelOutput`."""

    @property
    def texts(self) -> Sequence[str]: ...
    @property
    def prompt(self) -> str: ...
    @property
    def meta(self) -> Meta | None: ...
    @property
    def documents(self) -> Sequence[str]: ...
    @property
    def finishes(self) -> Sequence[Finish]: ...
    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def scores(self) -> Sequence[float | None]: ...
    @property
    def tokens_read(self) -> int: ...
    @property
    def tokens_dropped(self) -> int: ...
    @property
    def meta_tokens_dropped(self) -> int: ...
    @property
    def seed(self) -> int | None: ...


class DocumentGenerator(Generator, Protocol):
    """Continues prompts, such as a `DocumentWriter`."""

    def start(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> ReplyHandle[DocumentOutput]:
        """Start to generate documents and return at once.

        Args:
            prompt: beginning of the document; may be empty.
            meta: metadata of the document: a string, a list, or an object of fields.
            options: override `self.options`; names are those of transformers' `generate`.
            seed: the same request with the same seed gives the same texts.

        Raises:
            TypeError, ValueError: for an invalid prompt, meta or option.
            QueueFull: when too many requests wait.
        """
