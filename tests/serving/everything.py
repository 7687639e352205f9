"""Fakes that know every option of the API, and a service on them that does all that there is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convmodel.responders.protocol import Candidate, Session
from convmodel.serving.schemas import Options
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.serving.store import Store
from tests.fakes import FakeDocument, FakeDocuments, FakeReplyHandle, FakeResponder
from tests.serving.selectors import FakeSelector


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
    ) -> FakeReplyHandle:
        del self.asked[:]
        return super().start(
            [turn[:40] for turn in context], persona=persona, options=options, seed=seed, session=session
        )

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """Numbers."""
        return tuple(Candidate(f"{n}", -float(n), "chosen", n, {"n": n}) for n in range(k))


class WillingDocuments(FakeDocuments):
    """The same for what writes documents."""

    options = WillingResponder.options

    def start(
        self, prompt: str = "", *, meta: Any = None, options: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> FakeDocument:
        del self.asked[:]
        return super().start(prompt[:10], meta=meta, options=options, seed=seed)


def everything(folder: Path, **settings: Any) -> Service:
    """A service that replies, writes documents, searches candidates, embeds, ranks, and keeps conversations."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    parts: dict[str, Any] = {"writer": WillingDocuments(), "selector": FakeSelector()}
    parts["adapters"] = {name: WillingResponder() for name in ("formal", "easy")}
    return Service(WillingResponder(), **parts, settings=Settings(**settings), store=store)
