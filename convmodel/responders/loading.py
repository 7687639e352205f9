"""Names of folders and files in, the Responder that they make together, and what writes documents, out."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from convmodel.data.candidates import distinct_candidates
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.rerankers import SelectorScorer
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.selector import DualEncoderSelector, Selector
from convmodel.responders.candidate_pool import ReadPool, SearchedPool, listed_pool
from convmodel.responders.chooser import Chooser
from convmodel.responders.document_writer import DocumentWriter
from convmodel.responders.hybrid import Hybrid, RankedBy
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING
from convmodel.responders.writer import Writer

Name = str | os.PathLike[str]
Device = str | torch.device | None


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """What was loaded to follow requests. It is a context manager, which closes both at its end.

    Args:
        responder: replies to conversations; None where nothing does.
        documents: goes on with prompts; None where nothing does. One of both is there.
    """

    responder: Writer | Chooser | Hybrid | None
    documents: DocumentWriter | None = None

    def __enter__(self) -> "LoadedModels":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both; twice is no error."""
        for each in (self.responder, self.documents):
            if each is not None:
                each.close()


def load_all(
    model: Name | None = None,
    *,
    documents: Name | None = None,
    device: Device = None,
    dtype: str = "auto",
    max_running: int = MAX_RUNNING,
    max_waiting: int = MAX_WAITING,
    max_kept: int | None = None,
    **others: Any,
) -> LoadedModels:
    """Loads what replies, what writes documents, or both.

    Args:
        model: as for `open_responder`; or a model that writes documents.
        documents: a model that writes documents, beside one that replies. A plain GPT-2 writes them too.
        device, dtype, max_running, max_waiting, max_kept, others: as for `open_responder`.

    Raises:
        FileNotFoundError: when there is no such folder or file.
        ValueError: when they do not go together; says what is missing.
    """
    if model is not None and has_file(model, DOCUMENT_FILE):
        if documents is not None:
            raise ValueError(
                f"{model} and {documents} both write documents; give one of them, or a model that replies (--model)"
            )
        model, documents = None, model
    responder = None
    same: Mapping[str, Any] = {"device": device, "max_running": max_running, "max_waiting": max_waiting}
    if documents is None or model is not None or any(others.values()):
        responder = open_responder(model, dtype=dtype, max_kept=max_kept, **same, **others)
    if documents is None:
        return LoadedModels(responder)
    try:
        return LoadedModels(
            responder, DocumentWriter.from_pretrained(documents, dtype=dtype, max_kept=max_kept, **same)
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
    max_waiting: int = MAX_WAITING,
    max_kept: int | None = None,
) -> Writer | Chooser | Hybrid:
    """Loads what replies: a model that writes, a selector that chooses, or both, whose best is taken.

    Args:
        model: writes replies.
        selector: chooses among candidates, or ranks what was written where there are none.
        index: of candidates that the selector encoded; see `python -m convmodel index`.
        candidates: a file of candidates, one a line, in place of an index.
        reranker: "selector", "likelihood", or the folder of another selector: what ranks all replies. The selector
            where there is one, and otherwise the likelihood, when left out.
        device: "cuda", "cpu", ...; an accelerator when there is one, when left out.
        dtype: "auto" (float32 on a CPU), "float32", "bfloat16", or "int8", which is for the model that writes alone.
        max_running: texts that are written at once.
        max_waiting: how many requests may be open beside those that are written, or that are chosen for.
        max_kept: conversations whose keys and values are kept; see `EngineThread`.

    Raises:
        FileNotFoundError: when there is no such folder or file.
        ValueError: when they do not go together; says what is missing.
    """
    _check(model, selector, index, candidates, reranker)
    chooses = index is not None or candidates is not None
    precise = "auto" if dtype == "int8" else dtype
    selects = None if selector is None else Selector.from_pretrained(selector, device, precise)
    chooser = None
    if selects is not None and chooses:
        chooser = Chooser(selects, _candidates(selects, index, candidates), max_waiting=max_waiting)
    scorer: RankedBy | None = None
    if reranker == "likelihood":
        scorer = "likelihood"
    elif reranker is not None and reranker != "selector":
        scorer = SelectorScorer(Selector.from_pretrained(reranker, device, precise))
    elif selects is not None and model is not None:
        scorer = SelectorScorer(selects)
    sizes = {"max_running": max_running, "max_waiting": max_waiting, "max_kept": max_kept}
    writer = None if model is None else Writer.from_pretrained(model, device=device, dtype=dtype, **sizes)
    if writer is not None and (chooser is not None or scorer not in (None, "likelihood")):
        return Hybrid(writer, chooser, scorer=scorer)
    if chooser is not None and scorer is not None:
        return Hybrid(None, chooser, scorer=scorer)
    return cast(Writer | Chooser, writer or chooser)


def _candidates(
    selector: Selector, index: Name | None, candidates: Name | None
) -> CandidateIndex | SearchedPool | ReadPool:
    if candidates is not None:
        listed = distinct_candidates(candidates)
        return listed_pool(selector, [one.text for one in listed], [one.metadata for one in listed])
    if not isinstance(selector, DualEncoderSelector):
        raise ValueError(
            f"{index}: a {selector.kind} reads context and candidate together and searches no index; give a few "
            "candidates (--candidates), or let another selector choose and this one rank (--reranker)"
        )
    assert index is not None
    return CandidateIndex.open(index, selector)


def _check(
    model: Name | None, selector: Name | None, index: Name | None, candidates: Name | None, reranker: Name | None
) -> None:
    """Raises ValueError for what does not go together."""
    chooses = index is not None or candidates is not None
    if index is not None and candidates is not None:
        raise ValueError("there are an index and a file of candidates; give one of them")
    if selector is None and chooses:
        raise ValueError("there are candidates and nothing that chooses among them; give a selector (--selector)")
    if selector is None and model is None:
        raise ValueError(
            "there is nothing that replies; give a model that writes (--model), or a selector (--selector)"
        )
    if model is None and not chooses:
        raise ValueError(
            "there is a selector and nothing to choose from; give candidates (--index or --candidates), or a model "
            "that writes (--model)"
        )
    if reranker == "selector" and selector is None:
        raise ValueError("reranker 'selector': there is none; give one (--selector)")
    if reranker == "likelihood" and model is None:
        raise ValueError("reranker 'likelihood': there is no model that writes; give one (--model)")
