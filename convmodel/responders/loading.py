"""Loading of responders and document writers from folders and files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from convmodel.data.candidates import distinct_candidates
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.rerankers import SelectorScorer
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.selector import Selector
from convmodel.responders.candidate_pool import Pool, make_pool
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid, RankedBy
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, ClosesOnExit
from convmodel.responders.writer import DocumentWriter, Writer

Name = str | os.PathLike[str]
Device = str | torch.device | None


@dataclass(frozen=True, slots=True)
class LoadedModels(ClosesOnExit):
    """A loaded responder, a loaded document writer, or both; a context manager that closes them on exit."""

    responder: Writer | Chooser | Hybrid | None
    documents: DocumentWriter | None = None

    def close(self) -> None:
        for generator in (self.responder, self.documents):
            if generator is not None:
                generator.close()


def load_all(
    model: Name | None = None,
    *,
    documents: Name | None = None,
    device: Device = None,
    dtype: str = "auto",
    max_running: int = MAX_RUNNING,
    max_kept: int | None = None,
    **others: Any,
) -> LoadedModels:
    """Load a responder, a document writer, or both, for a server, which alone limits the number of open requests.

    Args:
        model: as for `open_responder`; or a document model.
        documents: a document model beside the responder. A plain GPT-2 can serve as one.
        others: as for `open_responder`.

    Raises:
        FileNotFoundError, ValueError: as `open_responder`.
    """
    if model is not None and has_file(model, DOCUMENT_FILE):
        if documents is not None:
            raise ValueError(
                f"{model} and {documents} both write documents; give one of them, or a model that replies (--model)"
            )
        documents = model
        model = None
    responder = None
    shared: Mapping[str, Any] = {"device": device, "max_running": max_running, "max_waiting": None}
    if documents is None or model is not None or any(others.values()):
        responder = open_responder(model, dtype=dtype, max_kept=max_kept, **shared, **others)
    if documents is None:
        return LoadedModels(responder)
    try:
        return LoadedModels(
            responder, DocumentWriter.from_pretrained(documents, dtype=dtype, max_kept=max_kept, **shared)
        )
    except BaseException:
        LoadedModels(responder).close()
        raise


def open_responder(
    model: Name | None = None,
    *,
    selector: Name | None = None,
    index: Name | None = None,
    candidates: Name | None = None,
    reranker: Name | None = None,
    device: Device = None,
    dtype: str = "auto",
    max_running: int = MAX_RUNNING,
    max_waiting: int | None = MAX_WAITING,
    max_kept: int | None = None,
) -> Writer | Chooser | Hybrid:
    """Load a responder that generates replies, selects them, or does both and returns the best.

    Args:
        model: a conversation model, which generates replies.
        selector: a selector, which selects among candidates, or without candidates ranks generated replies.
        index: an index of candidates encoded by the selector; see `python -m convmodel index`.
        candidates: a file of candidates, one per line, instead of an index.
        reranker: ranks all replies: "selector", "likelihood", or the folder of another selector. By default the
            selector if there is one, otherwise the likelihood.
        device: "cuda", "cpu", ...; by default an accelerator if there is one.
        dtype: "auto" (float32 on a CPU), "float32", "bfloat16", or "int8" for the conversation model only.
        max_running, max_waiting, max_kept: see `EngineWorker`.

    Raises:
        FileNotFoundError: for a folder or file that does not exist.
        ValueError: for arguments that do not fit together; the message says what is missing.
    """
    _check(model, selector, index, candidates, reranker)
    has_candidates = index is not None or candidates is not None
    selector_dtype = "auto" if dtype == "int8" else dtype
    selector_model = None if selector is None else Selector.from_pretrained(selector, device, selector_dtype)
    chooser = None
    if selector_model is not None and has_candidates:
        chooser = Chooser(selector_model, _load_candidates(selector_model, index, candidates), max_waiting=max_waiting)
    scorer: RankedBy | None = None
    if reranker == "likelihood":
        scorer = "likelihood"
    elif reranker is not None and reranker != "selector":
        scorer = SelectorScorer(Selector.from_pretrained(reranker, device, selector_dtype))
    elif selector_model is not None and model is not None:
        scorer = SelectorScorer(selector_model)
    sizes = {"max_running": max_running, "max_waiting": max_waiting, "max_kept": max_kept}
    writer = None if model is None else Writer.from_pretrained(model, device=device, dtype=dtype, **sizes)
    if writer is not None and (chooser is not None or scorer not in (None, "likelihood")):
        return Hybrid(writer, chooser, scorer=scorer)
    if chooser is not None and scorer is not None:
        return Hybrid(None, chooser, scorer=scorer)
    return cast(Writer | Chooser, writer or chooser)


def _load_candidates(selector: Selector, index: Name | None, candidates: Name | None) -> CandidateIndex | Pool:
    if candidates is not None:
        distinct = distinct_candidates(candidates)
        texts = [candidate.text for candidate in distinct]
        return make_pool(selector, texts, [candidate.metadata for candidate in distinct])
    if not isinstance(selector, DualEncoderSelector):
        raise ValueError(
            f"{index}: a {selector.kind} reads context and candidate together and cannot search an index; give a few "
            "candidates (--candidates), or let another selector choose and this one rank (--reranker)"
        )
    assert index is not None
    return CandidateIndex.open(index, selector)


def _check(
    model: Name | None, selector: Name | None, index: Name | None, candidates: Name | None, reranker: Name | None
) -> None:
    """Raise ValueError for arguments that do not fit together."""
    has_candidates = index is not None or candidates is not None
    if index is not None and candidates is not None:
        raise ValueError("there are an index and a file of candidates; give one of them")
    if selector is None and has_candidates:
        raise ValueError("there are candidates and nothing that chooses among them; give a selector (--selector)")
    if selector is None and model is None:
        raise ValueError(
            "there is nothing that replies; give a model that writes (--model), or a selector (--selector)"
        )
    if model is None and not has_candidates:
        raise ValueError(
            "there is a selector and nothing to choose from; give candidates (--index or --candidates), or a model "
            "that writes (--model)"
        )
    if reranker == "selector" and selector is None:
        raise ValueError("reranker 'selector': there is none; give one (--selector)")
    if reranker == "likelihood" and model is None:
        raise ValueError("reranker 'likelihood': there is no model that writes; give one (--model)")
