"""Fakes that know every option of the API, and a service on them that does all that there is."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convmodel.document.preparation import DocumentModelOutput
from convmodel.responder import Candidate, Session
from convmodel.serving.conversations.opening import keep_conversations
from convmodel.serving.schemas import Options
from convmodel.serving.service import Service, new_service
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store
from tests.fakes import FakeReplying, FakeResponder


class WillingResponder(FakeResponder):
    """A fake that follows every option that the API has."""

    searches = True
    options: Mapping[str, Any] = {**dict.fromkeys(Options.model_fields), **FakeResponder.options}

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> FakeReplying:
        del self.asked[:]
        return super().start(
            [turn[:40] for turn in context], persona=persona, options=options, seed=seed, session=session
        )

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """Numbers."""
        return tuple(Candidate(f"{n}", -float(n), "chosen", n, {"n": n}) for n in range(k))


class FakeDocument:
    """A document that is there at once."""

    def __init__(self, prompt: str, meta: Any, count: int, seed: int | None) -> None:
        texts = [f"{prompt[:10]} and so on, {n} times." for n in range(count)]
        self._output = DocumentModelOutput(
            texts, prompt, meta, ["end"] * count, [5] * count, scores=[None] * count, tokens_read=3, seed=seed
        )

    def __iter__(self) -> Iterator[str]:
        yield self._output.texts[0]

    def cancel(self) -> None:
        """It is over."""

    def output(self) -> DocumentModelOutput:
        """All."""
        return self._output


class FakeWriter:
    """Writes documents without a model."""

    options: Mapping[str, Any] = WillingResponder.options
    presets: Mapping[str, Mapping[str, Any]] = FakeResponder.presets

    def check_options(self, options: Mapping[str, Any]) -> None:
        """All are followed."""

    def start(
        self, prompt: str = "", *, meta: Any = None, options: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> FakeDocument:
        """Begins."""
        return FakeDocument(prompt, meta, (options or {}).get("num_return_sequences") or 1, seed)

    def close(self) -> None:
        """Nothing is held."""


def everything(folder: Path, **settings: Any) -> Service:
    """A service that replies, writes documents, searches candidates, and keeps conversations."""
    service = new_service(WillingResponder(), writer=FakeWriter(), settings=Settings(**settings))
    keep_conversations(service, Store(f"sqlite:///{folder / 'store.db'}"))
    return service
