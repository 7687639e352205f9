"""Loading of responders and document writers from folders and files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch

from convmodel.data.candidates import distinct_candidates
from convmodel.models.adapter_folder import load_adapter, open_adapter
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.rerankers import SelectorScorer
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.index.storage import INDEX
from convmodel.models.selection.selector import Selector
from convmodel.models.source import open_source
from convmodel.responders.candidate_pool import Pool, make_pool
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid, RankedBy
from convmodel.responders.protocol import FALLBACK, MAX_RUNNING, MAX_WAITING, ClosesOnExit
from convmodel.responders.selector_worker import SelectorWorker
from convmodel.responders.writer import DocumentWriter, Writer

Name = str | os.PathLike[str]
Device = str | torch.device | None

AnyResponder = Writer | Chooser | Hybrid

RERANKERS = ("selector", "likelihood")
"""Values of `reranker` with a fixed meaning. Any other value is the folder of a selector."""


@dataclass(frozen=True, slots=True)
class LoadedModels(ClosesOnExit):
    """Models of a server; a context manager that closes them on exit.

    Args:
        responder: generates or selects replies.
        adapters: responders that use an adapter over the model, by name.
        documents: generates documents.
        selector: embeds texts, and ranks them if there is no `reranker`.
        reranker: ranks texts.
    """

    responder: AnyResponder | None
    adapters: Mapping[str, AnyResponder] = field(default_factory=dict)
    documents: DocumentWriter | None = None
    selector: SelectorWorker | None = None
    reranker: SelectorWorker | None = None

    def close(self) -> None:
        for generator in (self.responder, *self.adapters.values(), self.documents):
            if generator is not None:
                generator.close()


def load_all(
    model: Name | None = None,
    *,
    documents: Name | None = None,
    base: Name | None = None,
    device: Device = None,
    dtype: str = "auto",
    max_running: int = MAX_RUNNING,
    max_kept: int | None = None,
    reasoning: bool = False,
    adapters: Mapping[str, Name] | None = None,
    fusion: bool = True,
    **others: Any,
) -> LoadedModels:
    """Load the models of a server.

    The models have no limit of open requests, because the server has one. A selector without candidates and without a
    conversation model does not reply; it only embeds and ranks texts.

    Args:
        model: as for `open_responder`; or a document model.
        documents: a document model in addition to the responder; a GPT-2 that was not fine-tuned also works.
        device, dtype, max_running, max_kept: as for `open_responder`.
        base, reasoning, adapters, fusion, others: as for `open_responder`.

    Raises:
        FileNotFoundError, ValueError: as `open_responder`.
    """
    under: Name | None = None
    if model is not None and has_file(model, DOCUMENT_FILE):
        if documents is not None:
            raise ValueError(
                f"{model} and {documents} both write documents; give one of them, or a model that replies (--model)"
            )
        documents = model
        model = None
        under = base
    others["index"] = _index_of(**{name: others.get(name) for name in ("selector", "index", "candidates")})
    replies = _replies(model, documents, others)
    if replies:
        _check(model, **{name: others.get(name) for name in ("selector", "index", "candidates", "reranker")})
    if adapters and model is None:
        raise ValueError("there are adapters, but no conversation model for them; give one (--model)")
    if not replies:
        _refuse_unused(**{name: others.get(name) for name in ("min_score", "fallback")})
    selectors = _load_selectors(others, device, dtype, fusion=fusion)
    shared: Mapping[str, Any] = {"device": device, "max_running": max_running, "max_waiting": None}
    responder = None
    if replies:
        others |= {"base": base, "max_kept": max_kept, "reasoning": reasoning, "adapters": adapters, **selectors}
        responder = open_responder(model, dtype=dtype, **shared, **others)
    adapted = {} if responder is None or isinstance(responder, Chooser) else responder.adapted
    try:
        writer = None
        if documents is not None:
            writer = DocumentWriter.from_pretrained(documents, base=under, dtype=dtype, max_kept=max_kept, **shared)
        return LoadedModels(
            responder, adapted, writer, **{name: SelectorWorker(part) for name, part in selectors.items()}
        )
    except BaseException:
        LoadedModels(responder, adapted).close()
        raise


def _replies(model: Name | None, documents: Name | None, others: Mapping[str, Any]) -> bool:
    """Return whether the arguments of a server ask for a responder, even if a required one is missing."""
    given = {name for name, value in others.items() if value is not None}
    chooses = not given.isdisjoint({"index", "candidates"}) or others.get("reranker") == "likelihood"
    if model is None and "selector" in given:
        return chooses
    return model is not None or documents is None or chooses or "reranker" in given


def _load_selectors(names: Mapping[str, Any], device: Device, dtype: str, *, fusion: bool) -> dict[str, Selector]:
    """Load the selector and the reranker of a server, and return them by the names of the arguments.

    An argument that is missing, or a reranker in `RERANKERS`, is left out.
    """
    selectors = {"selector": _load_selector(names.get("selector"), device, dtype, fusion=fusion)}
    if names.get("reranker") not in RERANKERS:
        selectors["reranker"] = _load_selector(names.get("reranker"), device, dtype, fusion=fusion)
    return {name: selector for name, selector in selectors.items() if selector is not None}


def open_responder(
    model: Name | None = None,
    *,
    base: Name | None = None,
    selector: Name | Selector | None = None,
    index: Name | None = None,
    candidates: Name | None = None,
    reranker: Name | Selector | None = None,
    device: Device = None,
    dtype: str = "auto",
    max_running: int = MAX_RUNNING,
    max_waiting: int | None = MAX_WAITING,
    max_kept: int | None = None,
    reasoning: bool = False,
    adapters: Mapping[str, Name] | None = None,
    fusion: bool = True,
    min_score: float | Literal["auto"] | None = None,
    fallback: str | None = None,
) -> AnyResponder:
    """Load a responder that generates replies, selects replies, or does both and returns the best.

    Args:
        model: folder or Hub name of a conversation model, which generates replies.
        base: folder or Hub name of the base model, if `model` is an adapter.
        selector: a selector or its folder. It selects among the candidates; without candidates, it ranks generated
            replies.
        index: folder of an index of candidates encoded by the selector; see `python -m convmodel index`. By default the
            folder of the selector, if it holds an index, as `index --lexical` writes it.
        candidates: file of candidates, one per line, instead of an index.
        reranker: scorer that ranks all replies: "selector", "likelihood", or another selector or its folder. By
            default the selector if there is one, otherwise the likelihood.
        device: "cuda", "cpu", ...; by default an accelerator if there is one.
        dtype: "auto" (float32 on a CPU), "float32", "bfloat16", or "int8" for the conversation model only.
        max_running, max_waiting, max_kept: see `EngineWorker`.
        reasoning: whether the conversation model may reason before it replies; see `LayoutOptions`.
        adapters: folders of LoRA adapters over the model, by name; see `EngineWorker.adapted`.
        fusion: whether selectors use the features and weights of their `fusion.json`; see `Selector.from_pretrained`.
        min_score: smallest probability with which a selected reply is correct, or "auto"; see `Chooser`.
        fallback: reply if no candidate reaches `min_score`, by default `FALLBACK`. With a conversation model, the reply
            is generated instead.

    Raises:
        FileNotFoundError: for a folder or file that does not exist.
        ValueError: for arguments that cannot be combined, or that need another one; the message names it.
    """
    index = _index_of(selector, index, candidates)
    _check(model, selector, index, candidates, reranker)
    if reasoning and model is None:
        raise ValueError("reasoning=True without a model that writes; give one (--model), or leave --reasoning out")
    has_candidates = index is not None or candidates is not None
    if not has_candidates:
        _refuse_unused(min_score=min_score, fallback=fallback)
    selector_model = _load_selector(selector, device, dtype, fusion=fusion)
    other = None if reranker in RERANKERS else _load_selector(reranker, device, dtype, fusion=fusion)
    chooser = None
    if selector_model is not None and has_candidates:
        pool = _load_candidates(selector_model, index, candidates)
        options = {"min_score": min_score}
        chooser = Chooser(selector_model, pool, options=options, fallback=fallback or FALLBACK, max_waiting=max_waiting)
    scorer: RankedBy | None = None
    if other is not None:
        scorer = SelectorScorer(other)
    elif reranker == "likelihood":
        scorer = "likelihood"
    elif selector_model is not None and model is not None:
        scorer = SelectorScorer(selector_model)
    writer = None
    if model is not None:
        how: dict[str, Any] = {"base": base, "device": device, "dtype": dtype, "reasoning": reasoning}
        sizes: dict[str, Any] = {"max_running": max_running, "max_waiting": max_waiting, "max_kept": max_kept}
        writer = _load_writer(model, adapters or {}, **how, **sizes)
    if writer is not None and (chooser is not None or scorer not in (None, "likelihood")):
        return Hybrid(writer, chooser, scorer=scorer)
    if chooser is not None and scorer is not None:
        return Hybrid(None, chooser, scorer=scorer)
    return cast(Writer | Chooser, writer or chooser)


def _refuse_unused(**values: Any) -> None:
    """Raise ValueError if an option of a chooser is given although there are no candidates."""
    for name, value in values.items():
        if value is not None:
            raise ValueError(f"{name}={value!r} has no effect without candidates; give some (--index or --candidates)")


def _load_writer(
    model: Name,
    adapters: Mapping[str, Name],
    *,
    base: Name | None,
    device: Device,
    dtype: str,
    reasoning: bool,
    **sizes: Any,
) -> Writer:
    """Load a conversation model and its adapters. The adapters are checked before the model is loaded."""
    source = open_source(model, base=base)
    sources = {name: open_adapter(os.fspath(folder), source) for name, folder in adapters.items()}
    loaded = ConversationModel.from_pretrained(model, device, dtype, base=base)
    adapted = {name: load_adapter(loaded, each) for name, each in sources.items()}
    for each in (loaded, *(other.model for other in adapted.values())) if reasoning else ():
        _let_reason(each)
    return Writer(loaded, adapters=adapted, **sizes)


def _let_reason(model: ConversationModel) -> None:
    """Set the layout of a model so that it may reason before it replies.

    Raises ValueError for a model without a chat template.
    """
    tokenizer = model.tokenizer
    if tokenizer.layout.name != "chat_template":
        raise ValueError(
            f"reasoning=True, but the model's layout is {tokenizer.layout.name!r}, which has no reasoning; leave "
            "--reasoning out, or use a model with a chat template"
        )
    tokenizer.choose_layout(reasoning=True)


def _load_candidates(selector: Selector, index: Name | None, candidates: Name | None) -> CandidateIndex | Pool:
    if candidates is not None:
        distinct = distinct_candidates(candidates)
        texts = [candidate.text for candidate in distinct]
        return make_pool(selector, texts, [candidate.metadata for candidate in distinct])
    if not selector.searches:
        raise ValueError(
            f"{index}: a {selector.kind} reads context and candidate together and cannot search an index; give a few "
            "candidates (--candidates), or let another selector choose and this one rank (--reranker)"
        )
    assert index is not None
    return CandidateIndex.open(index, selector)


def _index_of(selector: Name | Selector | None, index: Name | None, candidates: Name | None) -> Name | None:
    """Return the folder of the index: the given one, or else the selector's folder if it holds an index."""
    if index is not None or candidates is not None or selector is None or isinstance(selector, Selector):
        return index
    return selector if (Path(selector) / INDEX).is_file() else None


def _load_selector(name: Name | Selector | None, device: Device, dtype: str, *, fusion: bool) -> Selector | None:
    """Return a selector, which is loaded if `name` is a folder; None for None."""
    if name is None or isinstance(name, Selector):
        return name
    return Selector.from_pretrained(name, device, "auto" if dtype == "int8" else dtype, fusion=fusion)


def _check(
    model: Name | None,
    selector: Name | Selector | None = None,
    index: Name | None = None,
    candidates: Name | None = None,
    reranker: Name | Selector | None = None,
) -> None:
    """Raise ValueError for arguments that cannot be combined, or that need another one."""
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
