"""A prompt in, documents out: what whoever writes documents promises to those who ask for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from convmodel.data.document import Meta
from convmodel.responders.protocol import Finish, Generator


class Output(Protocol):
    """What was written; `convmodel.models.document_inputs.DocumentModelOutput` says what each means."""

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


class DocumentHandle(Protocol):
    """A document that is being written, or several that go on from one prompt."""

    def __iter__(self) -> Iterator[str]:
        """Pieces of the first text as soon as they are certain; of several texts, the first in one piece at the end."""

    def cancel(self) -> None:
        """Ends it now; from any thread, at any moment, and more than once. What was written so far are the texts."""

    def output(self) -> Output:
        """Waits for the end. Raises what went wrong."""


class WritesDocuments(Generator, Protocol):
    """Goes on with prompts, such as a `DocumentWriter`."""

    def start(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> DocumentHandle:
        """Begins to write and returns at once.

        Args:
            prompt: how the document begins; may be empty.
            meta: what is known of it: a string, a list, or an object of fields.
            options: on top of `self.options`; names are those of transformers' `generate`.
            seed: the same request with the same seed gives the same texts.

        Raises:
            TypeError, ValueError: for a prompt, a meta or options that cannot be followed.
            QueueFull: when too many requests wait.
        """
