"""Evaluation of models that generate documents: likelihood of documents, and continuations of their beginnings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from convmodel.data.document import Document, DocumentReader, format_meta
from convmodel.data.reader import format_count
from convmodel.generation import penalties
from convmodel.generation.option_checks import check_names
from convmodel.generation.options import effective_options
from convmodel.generation.request import derive_seed
from convmodel.metrics.words import end_of_words, words
from convmodel.models.detokenizer import PREFIX_TAIL, StreamingDetokenizer
from convmodel.models.document_inputs import DocumentModelOutput
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.reports.evaluation.document_metrics import ContinuationResult, compute_metrics, seq_rep
from convmodel.reports.evaluation.examples import EvaluationOptions, digest, evenly_spaced
from convmodel.reports.evaluation.likelihood import NextTokenStats, next_token_stats
from convmodel.reports.evaluation.model_facts import decoding_of, generate_all, model_facts
from convmodel.reports.evaluation.task import Card, EvaluationTask, Lines, MetricResults, RunRequest, RunResult
from convmodel.reports.plots import Histogram, length_histogram

CONTINUATIONS = "continuations.jsonl"
DOCUMENTS = "documents.jsonl"

MAX_NEW_TOKENS = 100
"""Default maximum number of tokens of a continuation. Source: arXiv:1908.04319, section 6."""

GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    penalties.NO_REPEAT: 0,
    penalties.FREQUENCY: 0,
    penalties.PRESENCE: 0,
}
"""Default decoding options: greedy, because sampling and penalties would hide the model's repetition."""

SAMPLING = ("temperature", "top_k", "top_p", "typical_p", "min_p")
"""Decoding options that have an effect only with sampling."""


@dataclass(frozen=True)
class Beginning:
    """Beginning of a document, which the model continues.

    Args:
        document: index of the document in the file, from 1.
        meta: meta of the document, or None.
        prompt: first words of the document.
        rest: text after the prompt.
    """

    document: int
    meta: Any
    prompt: str
    rest: str


class DocumentGeneration(EvaluationTask):
    """Evaluation of a model that generates documents: perplexity, and repetition in greedy continuations."""

    name = "documents"
    marker_file = DOCUMENT_FILE
    options = frozenset(
        {
            *("limit", "decoding", "seed", "resamples", "confidence", "tokens_per_batch"),
            *("prompt_words", "overlap", "meta"),
        }
    )
    default_limit = 500
    card_headings = ("Repeats itself least", "Repeats itself most")
    files: ClassVar = {CONTINUATIONS: ContinuationResult, DOCUMENTS: NextTokenStats}
    remedy = "with the same --prompt-words and --limit"
    presets = PRESETS
    accepts_plain_model = True

    def run(self, request: RunRequest) -> RunResult:
        """Load the model in float32, measure the likelihood of all documents, and continue the beginnings of some."""
        options = request.options
        reader = DocumentReader(request.data, request.read_options)
        all_documents = list(reader)
        documents = all_documents if options.meta else [Document(document.body) for document in all_documents]
        beginnings = _beginnings(documents, options.prompt_words)
        selected = [beginnings[index] for index in evenly_spaced(len(beginnings), options.limit or 0)]
        check_names(options.decoding)
        loaded = DocumentModel.from_pretrained(request.model, request.device, "float32", base=request.base)
        decoding = _decoding_options(loaded, options.decoding)
        complete = effective_options(decoding_of(loaded, decoding))
        if complete.get("num_return_sequences", 1) > 1:
            raise ValueError(
                f"num_return_sequences={complete['num_return_sequences']}, but one continuation of each document is "
                "measured; leave it out"
            )
        read = next_token_stats(loaded, documents, overlap=options.overlap, tokens_per_batch=options.tokens_per_batch)
        continued = list(_continuations(loaded, selected, decoding, options.seed))
        data_facts = {
            "source": reader.source,
            "fingerprint": digest([document.body, document.meta] for document in all_documents),
            "documents": len(all_documents),
            "with_meta": sum(document.meta is not None for document in all_documents),
            "skipped": reader.report.skipped,
        }
        facts = model_facts(loaded, request.model, loaded.max_meta_length, loaded.max_body_length)
        lines: Lines = {CONTINUATIONS: continued, DOCUMENTS: read}
        notes = _notes(request.model, documents, continued=len(beginnings), prompt_words=options.prompt_words)
        return RunResult(facts, data_facts, lines, {"decoding": complete}, notes)

    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute likelihood, next-token accuracy, repetition, variety and length."""
        return compute_metrics(lines[CONTINUATIONS], lines[DOCUMENTS])

    def inputs(self, lines: Lines) -> Mapping[str, Sequence[Any]]:
        """Return words and bytes of the documents, and the beginnings that were continued."""
        return {
            "documents": [(document.words, document.bytes) for document in lines[DOCUMENTS]],
            "beginnings of documents": [(result.document, result.prompt) for result in lines[CONTINUATIONS]],
        }

    def histograms(self, lines: Lines) -> list[Histogram]:
        """Return histograms of lengths, repetition, and the likelihood of documents."""
        continued: Sequence[ContinuationResult] = lines[CONTINUATIONS]
        texts = [result.text for result in continued]
        repetition = {
            "model": [share for result in continued if (share := seq_rep(result.ids, 4)) is not None],
            "gold": [share for result in continued if (share := seq_rep(result.gold_ids, 4)) is not None],
        }
        nats = [document.nats / document.tokens for document in lines[DOCUMENTS]]
        return [
            length_histogram("words of a continuation", texts, [result.gold for result in continued]),
            Histogram("Repetition", "share of 4-grams that came earlier in a continuation", repetition),
            Histogram("Negative log-likelihood of a document", "nats per token", {"model": nats}),
        ]

    def ranked_cards(self, lines: Lines) -> list[Card]:
        """Return cards in ascending order of seq-rep-4, then of the negative log-likelihood of the document."""
        read = lines[DOCUMENTS]
        pairs = [(result, read[result.document - 1]) for result in lines[CONTINUATIONS]]
        return [_card(*pair) for pair in sorted(pairs, key=_sort_key)]


def _notes(model: str, documents: Sequence[Document], *, continued: int, prompt_words: int) -> list[str]:
    notes = []
    if continued < len(documents):
        notes.append(
            f"Not continued, because nothing follows their first {format_count(prompt_words, 'word')} "
            f"(--prompt-words): {len(documents) - continued:,} of {format_count(len(documents), 'document')}."
        )
    if any(document.meta is not None for document in documents) and not has_file(model, DOCUMENT_FILE):
        notes.append(
            f"The model has no {DOCUMENT_FILE}: it was not trained on documents here, and may never have seen a meta. "
            "--no-meta leaves metas out."
        )
    return notes


def _beginnings(documents: Sequence[Document], prompt_words: int) -> list[Beginning]:
    """Return the beginnings of all documents that have words after the prompt.

    Raises ValueError if no document is long enough.
    """
    beginnings = []
    for index, document in enumerate(documents, 1):
        end = end_of_words(document.body, prompt_words)
        if end is not None and end_of_words(document.body[end:], 1) is not None:
            beginnings.append(Beginning(index, document.meta, document.body[:end], document.body[end:]))
    if not beginnings:
        longest = max(len(words(document.body)) for document in documents)
        remedy = f"use --prompt-words below {longest}" if longest > 1 else "use longer documents"
        raise ValueError(
            f"no document is longer than {format_count(prompt_words, 'word')}, the length of the prompt; the longest "
            f"has {longest:,}: {remedy}"
        )
    return beginnings


def _decoding_options(model: DocumentModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decoding options: `given` overrides those of greedy decoding, or with sampling the model's."""
    default = model.generation_config.max_new_tokens
    length = {} if given.get("max_length") else {"max_new_tokens": min(MAX_NEW_TOKENS, default or MAX_NEW_TOKENS)}
    if given.get("do_sample", any(given.get(name) is not None for name in SAMPLING)):
        return {**length, "do_sample": True, **given}
    return {**length, **GREEDY, **given}


def _continuations(
    model: DocumentModel, selected: Sequence[Beginning], decoding: Mapping[str, Any], seed: int
) -> Iterator[ContinuationResult]:
    seeds = {beginning.document: derive_seed(seed, beginning.document) for beginning in selected}

    def generate(group: Sequence[Beginning]) -> Sequence[DocumentModelOutput]:
        return model.generate_batch(
            [beginning.prompt for beginning in group],
            metas=[beginning.meta for beginning in group],
            seeds=[seeds[beginning.document] for beginning in group],
            **decoding,
        )

    for beginning, output in generate_all(
        selected,
        generate,
        desc="Continuations",
        describe=lambda beginning: f"go on with document {beginning.document}",
        decoding=decoding,
    ):
        room = decoding.get("max_new_tokens") or max(1, decoding["max_length"] - output.tokens_read)
        yield _result(model, beginning, seeds[beginning.document], output, room)


def _result(
    model: DocumentModel, beginning: Beginning, seed: int, output: DocumentModelOutput, room: int
) -> ContinuationResult:
    texts = [beginning.prompt, beginning.prompt + beginning.rest, beginning.rest]
    prompt, whole, rest = model.tokenizer.encode_many(texts)
    if whole[: len(prompt)] == prompt:
        rest = whole[len(prompt) :]
    ends = len(rest) < room  # the separator that ends the document takes one token too
    return ContinuationResult(
        document=beginning.document,
        meta=format_meta(beginning.meta),
        prompt=beginning.prompt,
        gold=beginning.rest if ends else _decode(model, prompt, rest[:room]),
        text=output.texts[0],
        seed=seed,
        finish=output.finishes[0],
        gold_ends=ends,
        tokens_dropped=output.tokens_dropped,
        gold_ids=list(rest[:room]),
        ids=list(output.ids[0]),
    )


def _decode(model: DocumentModel, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """Return the text of token ids after a prompt, decoded in the same way as generated tokens."""
    stream = StreamingDetokenizer(model.hf_tokenizer, prefix_ids=prompt[-PREFIX_TAIL:])
    for token in ids:
        stream.feed(token)
    stream.finish()
    return stream.text.rstrip("\ufffd")  # an incomplete character


def _sort_key(pair: tuple[ContinuationResult, NextTokenStats]) -> tuple[float, float]:
    result, document = pair
    return seq_rep(result.ids, 4) or 0.0, document.nats / document.tokens


def _card(result: ContinuationResult, document: NextTokenStats) -> Card:
    share = seq_rep(result.ids, 4)
    facts = {
        "seq-rep-4": "–" if share is None else f"{share:.2f}",
        "ended by": {"end": "itself", "stop": "a stop string"}.get(result.finish, "length"),
        "the whole document": f"{document.nats / document.tokens:.2f} nats/token",
        "document": f"{result.document:,}",
    }
    context = [result.prompt] if result.prompt else []
    return Card(context, {"gold": result.gold, "model": result.text}, [result.meta] if result.meta else [], facts)
