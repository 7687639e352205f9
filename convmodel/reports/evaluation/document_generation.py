"""Models that write documents: a folder and documents in, likelihoods and continuations line by line out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convmodel.data.document import Document, DocumentReader, meta_text
from convmodel.data.reader import count
from convmodel.generation import penalties as repetition
from convmodel.generation.options import check_names, options_of
from convmodel.generation.seeds import derive_seed
from convmodel.metrics.words import end_of_words, words
from convmodel.models.document_inputs import DocumentModelOutput
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.text_generation import LAST
from convmodel.reports.evaluation.document_metrics import ContinuationResult, find, seq_rep
from convmodel.reports.evaluation.examples import digest, evenly_spaced
from convmodel.reports.evaluation.model_facts import decoding_of, in_groups, model_facts
from convmodel.reports.evaluation.next_token import NextTokenStats, next_token_stats
from convmodel.reports.evaluation.task import (
    Card,
    EvaluationRun,
    EvaluationTask,
    Histogram,
    Lines,
    RunResult,
    check_same,
)
from convmodel.tokens.detokenizer import StreamingDetokenizer

CONTINUATIONS, DOCUMENTS = "continuations.jsonl", "documents.jsonl"

MAX_NEW_TOKENS = 100
"""Tokens of a continuation at most, where nobody says; as in arXiv:1908.04319, section 6."""

GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    repetition.NO_REPEAT: 0,
    repetition.FREQUENCY: 0,
    repetition.PRESENCE: 0,
}
"""The likeliest token at each step: what sampling and penalties would hide of a model is to be seen."""

SAMPLING = ("temperature", "top_k", "top_p", "typical_p", "min_p")
"""Options that mean something only where tokens are drawn."""


@dataclass(frozen=True)
class Beginning:
    """The beginning of a document.

    Args:
        document: its number in the file, from 1.
        meta: what is known of it.
        prompt: its first words.
        rest: how it goes on.
    """

    document: int
    meta: Any
    prompt: str
    rest: str


def run(task: EvaluationRun) -> RunResult:
    """Loads the model in float32, reads every document and goes on with the beginnings of some."""
    options, reader = task.options, DocumentReader(task.data, on_error=task.on_error)
    given = list(reader)
    fingerprint = digest([one.body, one.meta] for one in given)
    documents = given if options.meta else [Document(one.body) for one in given]
    long = _long(documents, options.prompt_words)
    chosen = [long[number] for number in evenly_spaced(len(long), options.limit or 0)]
    check_names(options.decoding)
    model = DocumentModel.from_pretrained(task.model, task.device, "float32")
    decoding = _decoding(model, options.decoding)
    how = options_of(decoding_of(model, decoding))
    if how.get("num_return_sequences", 1) > 1:
        raise ValueError(
            f"num_return_sequences={how['num_return_sequences']}, but one continuation of each document is measured; "
            "leave it out"
        )
    read = next_token_stats(model, documents, overlap=options.overlap, tokens_per_batch=options.tokens_per_batch)
    lines: Lines = {CONTINUATIONS: list(_continued(model, chosen, decoding, options.seed)), DOCUMENTS: read}
    data = {
        "source": task.data,
        "fingerprint": fingerprint,
        "documents": len(given),
        "with_meta": sum(one.meta is not None for one in given),
        "skipped": reader.report.skipped,
    }
    about = model_facts(model, task.model, model.max_meta_length, model.max_body_length)
    return RunResult(about, data, lines, {"decoding": how}, _notes(task, documents, len(long)))


def _notes(task: EvaluationRun, documents: Sequence[Document], long: int) -> list[str]:
    notes = []
    if long < len(documents):
        notes.append(
            f"Not continued, for nothing follows their first {count(task.options.prompt_words, 'word')} "
            f"(--prompt_words): {len(documents) - long:,} of {count(len(documents), 'document')}."
        )
    if any(one.meta is not None for one in documents) and not has_file(task.model, DOCUMENT_FILE):
        notes.append(
            f"The model has no {DOCUMENT_FILE}: it was not trained on documents here, and may never have seen a meta. "
            "--no_meta leaves metas out."
        )
    return notes


def _long(documents: Sequence[Document], prompt_words: int) -> list[Beginning]:
    """The beginnings of all documents that go on.

    Raises:
        ValueError: when there are none.
    """
    ends = ((number, one, end_of_words(one.body, prompt_words)) for number, one in enumerate(documents, 1))
    found = [Beginning(n, one.meta, one.body[:end], one.body[end:]) for n, one, end in ends if end is not None]
    found = [one for one in found if end_of_words(one.rest, 1) is not None]
    if not found:
        longest = max(len(words(one.body)) for one in documents)
        cure = f"use --prompt_words below {longest}" if longest > 1 else "use longer documents"
        raise ValueError(
            f"no document is longer than {count(prompt_words, 'word')}, which the model is to go on with; the longest "
            f"has {longest:,}: {cure}"
        )
    return found


def _decoding(model: DocumentModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, on top of greedy decoding, or, where tokens are to be drawn, of the model's own way."""
    usual = model.generation_config.max_new_tokens
    length = {} if given.get("max_length") else {"max_new_tokens": min(MAX_NEW_TOKENS, usual or MAX_NEW_TOKENS)}
    if given.get("do_sample", any(given.get(name) is not None for name in SAMPLING)):
        return {**length, "do_sample": True, **given}
    return {**length, **GREEDY, **given}


def _continued(
    model: DocumentModel, chosen: Sequence[Beginning], decoding: Mapping[str, Any], seed: int
) -> Iterator[ContinuationResult]:
    most = decoding.get("max_new_tokens")
    for group in in_groups(chosen, desc="Continuations"):
        seeds = [derive_seed(seed, one.document) for one in group]
        prompts, metas = [one.prompt for one in group], [one.meta for one in group]
        try:
            outputs = model.generate_batch(prompts, metas=metas, seeds=seeds, **decoding)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"the model cannot go on with document {group[0].document} or one of the {len(group) - 1} after it "
                f"with the decoding options {dict(decoding)}: {' '.join(str(error).split())}"
            ) from error
        for one, its_seed, output in zip(group, seeds, outputs, strict=True):
            room = most or max(1, decoding["max_length"] - output.tokens_read)
            yield _one(model, one, its_seed, output, room)


def _one(model: DocumentModel, one: Beginning, seed: int, output: DocumentModelOutput, room: int) -> ContinuationResult:
    prompt, rest = _ids(model, one)
    ends = len(rest) < room  # the token that ends it must be written too
    return ContinuationResult(
        document=one.document,
        meta=meta_text(one.meta),
        prompt=one.prompt,
        gold=one.rest if ends else _text(model, prompt, rest[:room]),
        text=output.texts[0],
        seed=seed,
        finish=output.finishes[0],
        gold_ends=ends,
        tokens_dropped=output.tokens_dropped,
        gold_ids=list(rest[:room]),
        ids=list(output.ids[0]),
    )


def _ids(model: DocumentModel, one: Beginning) -> tuple[list[int], list[int]]:
    """The tokens of a beginning, and those that follow it."""
    prompt, whole, rest = model.tokenizer.encode_many([one.prompt, one.prompt + one.rest, one.rest])
    return prompt, whole[len(prompt) :] if whole[: len(prompt)] == prompt else rest


def _text(model: DocumentModel, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """The text of what follows a beginning, as that of the model is made."""
    stream = StreamingDetokenizer(model.hf_tokenizer, begun=prompt[-LAST:])
    for token in ids:
        stream.feed(token)
    stream.finish()
    return stream.text.rstrip("\ufffd")  # half a character


def _alike(mine: Lines, theirs: Lines) -> None:
    """Raises ValueError unless both read the same documents and went on with the same beginnings."""
    begun = [[(one.document, one.prompt) for one in lines[CONTINUATIONS]] for lines in (mine, theirs)]
    read = [[(one.words, one.bytes) for one in lines[DOCUMENTS]] for lines in (mine, theirs)]
    for what, (one, other) in {"documents": read, "beginnings of documents": begun}.items():
        check_same(what, one, other, cure="with the same --prompt_words and --limit")


def _histograms(lines: Lines) -> list[Histogram]:
    """Lengths, repetition, and how likely documents are."""
    continued: Sequence[ContinuationResult] = lines[CONTINUATIONS]
    said, gold = (
        [seq_rep(ids, 4) for ids in each] for each in zip(*((o.ids, o.gold_ids) for o in continued), strict=True)
    )
    return [
        Histogram(
            "Length",
            "words of a continuation",
            {
                "model": [len(words(one.text)) for one in continued],
                "gold": [len(words(one.gold)) for one in continued],
            },
            bins=None,
        ),
        Histogram(
            "Repetition",
            "share of 4-grams that came earlier in a continuation",
            {
                "model": [share for share in said if share is not None],
                "gold": [share for share in gold if share is not None],
            },
        ),
        Histogram(
            "How likely the model finds a document",
            "nats per token",
            {"model": [one.nats / one.tokens for one in lines[DOCUMENTS]]},
        ),
    ]


def _ranked(lines: Lines) -> list[Card]:
    """By seq-rep-4, then by how likely the document was."""
    read = lines[DOCUMENTS]
    pairs = [(one, read[one.document - 1]) for one in lines[CONTINUATIONS]]
    return [_card(*pair) for pair in sorted(pairs, key=_order)]


def _order(pair: tuple[ContinuationResult, NextTokenStats]) -> tuple[float, float]:
    one, document = pair
    return seq_rep(one.ids, 4) or 0.0, document.nats / document.tokens


def _card(one: ContinuationResult, document: NextTokenStats) -> Card:
    share = seq_rep(one.ids, 4)
    facts = {
        "seq-rep-4": "–" if share is None else f"{share:.2f}",
        "ended by": {"end": "itself", "stop": "a stop string"}.get(one.finish, "length"),
        "the whole document": f"{document.nats / document.tokens:.2f} nats/token",
        "document": f"{one.document:,}",
    }
    context = [one.prompt] if one.prompt else []
    return Card(context, {"gold": one.gold, "model": one.text}, [one.meta] if one.meta else [], facts)


WRITING_DOCUMENTS = EvaluationTask(
    name="documents",
    made_of=DOCUMENT_FILE,
    options=frozenset(
        {
            *("limit", "decoding", "seed", "resamples", "confidence", "tokens_per_batch"),
            *("prompt_words", "overlap", "meta"),
        }
    ),
    limit=500,
    sides=("Repeats itself least", "Repeats itself most"),
    files={CONTINUATIONS: ContinuationResult, DOCUMENTS: NextTokenStats},
    run=run,
    find=lambda lines, options: find(lines[CONTINUATIONS], lines[DOCUMENTS]),
    alike=_alike,
    histograms=_histograms,
    ranked=_ranked,
    presets=PRESETS,
    plain=True,
)
