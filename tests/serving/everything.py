"""Fakes with every option of the API, and a service with every function."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from convmodel.responders.protocol import Candidate, Names, Session
from convmodel.serving.schemas import Options
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store
from tests.fakes import FakeDocument, FakeDocuments, FakeReplyHandle, FakeResponder
from tests.serving.selectors import FakeSelector


class WillingResponder(FakeResponder):
    """A fake that accepts every option of the API."""

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
        **names: Unpack[Names],
    ) -> FakeReplyHandle:
        del self.requests[:]
        return super().start(
            [turn[:40] for turn in context], persona=persona, options=options, seed=seed, session=session, **names
        )

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """Return numbers."""
        return tuple(Candidate(f"{n}", -float(n), "chosen", n, {"n": n}) for n in range(k))


class WillingDocuments(FakeDocuments):
    """A document writer that accepts every option of the API."""

    options = WillingResponder.options

    def start(
        self, prompt: str = "", *, meta: Any = None, options: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> FakeDocument:
        del self.requests[:]
        return super().start(prompt[:10], meta=meta, options=options, seed=seed)


def everything(folder: Path, **settings: Any) -> Service:
    """Return a service that replies, writes documents, searches candidates, embeds, ranks, and keeps conversations."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    parts: dict[str, Any] = {"writer": WillingDocuments(), "selector": FakeSelector()}
    parts["adapters"] = {name: WillingResponder() for name in ("formal", "easy")}
    return Service(WillingResponder(), **parts, settings=Settings(**settings), store=store)
