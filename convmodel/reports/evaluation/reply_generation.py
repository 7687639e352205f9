"""Evaluation of models that generate replies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.generation.option_checks import check_names
from convmodel.generation.options import effective_options
from convmodel.generation.request import derive_seed
from convmodel.metrics.bleu import CHRF_COUNTS, Bleu, chrf, chrf_counts
from convmodel.metrics.metric import sum_by_unit
from convmodel.metrics.overlap import f1, rouge_l
from convmodel.metrics.repetition import count_repeats_from
from convmodel.models.conversation_inputs import ConversationModelOutput
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.examples import EvaluationOptions, ReplyExample, conversation_facts, select_examples
from convmodel.reports.evaluation.likelihood import Likelihoods, likelihoods
from convmodel.reports.evaluation.model_facts import decoding_of, generate_all, model_facts
from convmodel.reports.evaluation.reply_likelihood import reply_likelihoods
from convmodel.reports.evaluation.reply_metrics import NGRAM, ReplyResult, compute_metrics
from convmodel.reports.evaluation.task import Card, EvaluationTask, Lines, MetricResults, RunRequest, RunResult
from convmodel.reports.plots import Histogram, length_histogram

REPLIES = "replies.jsonl"
LIKELIHOODS = "likelihoods.jsonl"


class ReplyGeneration(EvaluationTask):
    """Evaluation of a model that generates replies: perplexity, and replies compared with the gold replies."""

    name = "writing"
    marker_file = "config.json"
    options = frozenset(
        {
            *("turns", "perplexity_on", "limit", "decoding", "seed", "resamples", "confidence"),
            *("bleu_tokenize", "tokens_per_batch"),
        }
    )
    default_limit = 500
    card_headings = ("Most like the gold reply", "Least like the gold reply")
    files: ClassVar = {REPLIES: ReplyResult, LIKELIHOODS: Likelihoods}
    remedy = "with the same --turns, --perplexity-on and --limit"

    def run(self, request: RunRequest) -> RunResult:
        """Load the model in float32, measure the likelihood of all turns, and reply to the selected turns."""
        options = request.options
        reader = ConversationReader(request.data, request.read_options, named=True)
        conversations = list(reader)
        turns: dict[str, Any] = {"turns": options.turns, "limit": options.limit or 0}
        select_examples(conversations, **turns)  # to raise errors before the long computation
        check_names(options.decoding)
        Bleu(options.bleu_tokenize)
        loaded = ConversationModel.from_pretrained(request.model, request.device, "float32", base=request.base)
        examples = select_examples(conversations, **turns, max_speakers=loaded.tokenizer.layout.max_speakers)
        decoding = effective_options(decoding_of(loaded, options.decoding))
        read = _read(loaded, conversations, options)
        lines: Lines = {REPLIES: list(_replies(loaded, examples, read, options)), LIKELIHOODS: read}
        facts = model_facts(loaded, request.model)
        return RunResult(facts, conversation_facts(reader, conversations), lines, {"decoding": decoding})

    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute perplexity, similarity to the gold replies, variety, repetition and length."""
        return compute_metrics(lines[REPLIES], lines[LIKELIHOODS], bleu_tokenize=options.bleu_tokenize)

    def inputs(self, lines: Lines) -> Mapping[str, Sequence[Any]]:
        """Return the examples that were replied to, and the turns whose perplexity was measured."""
        return {
            "examples": [(result.persona, result.context, result.gold) for result in lines[REPLIES]],
            "turns of perplexity": [(read.turns, read.words, read.characters) for read in lines[LIKELIHOODS]],
        }

    def histograms(self, lines: Lines) -> list[Histogram]:
        """Return histograms of lengths, F1, log-likelihood and repetition of replies."""
        results: Sequence[ReplyResult] = lines[REPLIES]
        replies = [result.reply for result in results]
        gold = [result.gold for result in results]
        nats = [per_token for result in results if (per_token := _gold_nats_per_token(result)) is not None]
        repetition = {"model": _context_repetition(results, replies), "gold": _context_repetition(results, gold)}
        return [
            length_histogram("words of a reply", replies, gold),
            Histogram("F1 with the gold reply", "F1", {"model": [result.f1 for result in results]}),
            Histogram("Log-likelihood of the gold reply", "nats per token", {"model": nats}),
            Histogram(
                "Repetition of the context", f"share of a reply's {NGRAM}-grams that the context contains", repetition
            ),
        ]

    def ranked_cards(self, lines: Lines) -> list[Card]:
        """Return cards in descending order of F1, then chrF, then log-likelihood of the gold reply."""
        results: Sequence[ReplyResult] = lines[REPLIES]
        results = sorted(results, key=lambda it: (it.f1, it.chrf, _gold_nats_per_token(it) or 0.0), reverse=True)
        return list(map(_card, results))


def _read(
    model: ConversationModel, conversations: Sequence[Conversation], options: EvaluationOptions
) -> list[Likelihoods]:
    """Return the likelihoods of the turns of conversations."""
    if model.hf_model.config.is_encoder_decoder:
        return reply_likelihoods(model, conversations, predict=options.perplexity_on)
    return likelihoods(model, conversations, predict=options.perplexity_on, tokens_per_batch=options.tokens_per_batch)


def _replies(
    model: ConversationModel, examples: Sequence[ReplyExample], read: Sequence[Likelihoods], options: EvaluationOptions
) -> Iterator[ReplyResult]:
    """Yield the replies to the examples. Of several replies, the one with the highest likelihood per token is used."""
    seeds = {example: derive_seed(options.seed, example.conversation, example.turn) for example in examples}
    several = decoding_of(model, options.decoding).num_replies > 1

    def generate(group: Sequence[ReplyExample]) -> Sequence[ConversationModelOutput]:
        return model.generate_batch(
            [example.context for example in group],
            personas=[example.persona for example in group],
            speakers=[example.speakers for example in group],
            speaker=[example.speaker for example in group],
            seeds=[seeds[example] for example in group],
            scorer="likelihood" if several else None,
            **options.decoding,
        )

    for example, output in generate_all(
        examples,
        generate,
        desc="Replies",
        describe=lambda example: f"reply to conversation {example.conversation}",
        decoding=options.decoding,
    ):
        yield _result(example, seeds[example], output, read[example.conversation - 1])


def _result(example: ReplyExample, seed: int, output: ConversationModelOutput, read: Likelihoods) -> ReplyResult:
    reply = output.responses[0]
    gold = example.gold
    index = read.turns.index(example.turn) if example.turn in read.turns else None
    return ReplyResult(
        conversation=example.conversation,
        turn=example.turn,
        persona=list(example.persona),
        context=output.context,
        gold=gold,
        reply=reply,
        seed=seed,
        turns_dropped=output.turns_dropped,
        f1=f1(reply, gold),
        rouge_l=rouge_l(reply, gold),
        chrf=float(chrf(sum_by_unit([chrf_counts(reply, gold)], [0], columns=CHRF_COUNTS)[0])),
        gold_log_likelihood=None if index is None else -read.nats[index],
        gold_tokens=None if index is None else read.tokens[index],
    )


def _gold_nats_per_token(result: ReplyResult) -> float | None:
    if result.gold_log_likelihood is None or not result.gold_tokens:
        return None
    return result.gold_log_likelihood / result.gold_tokens


def _context_repetition(results: Sequence[ReplyResult], texts: Sequence[str]) -> list[float]:
    """Return, for each text with n-grams, the share of its n-grams that occur in its context."""
    counts = [count_repeats_from(result.context, text, NGRAM) for result, text in zip(results, texts, strict=True)]
    return [repeated / total for repeated, total in counts if total]


def _card(result: ReplyResult) -> Card:
    facts = {"F1": f"{result.f1:.2f}", "chrF": f"{result.chrf:.0f}"}
    per_token = _gold_nats_per_token(result)
    if per_token is not None:
        facts["gold"] = f"{per_token:.2f} nats/token"
    facts["conversation"] = f"{result.conversation:,}"
    return Card(result.context, {"gold": result.gold, "model": result.reply}, result.persona, facts)
