"""Models that write their replies: a folder and conversations in, replies and log-likelihoods line by line out."""

from collections.abc import Iterator, Sequence

from convmodel.data.conversation import ConversationReader
from convmodel.generation.options import check_names, options_of
from convmodel.generation.seeds import derive_seed
from convmodel.metrics.bleu import CHRF_COUNTS, Bleu, chrf, chrf_counts
from convmodel.metrics.metric import rows_of
from convmodel.metrics.overlap import f1, rouge_l
from convmodel.metrics.repetition import repeated_from
from convmodel.metrics.words import words
from convmodel.models.conversation_model import ConversationModel, ConversationModelOutput
from convmodel.reports.evaluation.examples import Example, Options, examples, fingerprint
from convmodel.reports.evaluation.likelihood import Likelihoods, likelihoods
from convmodel.reports.evaluation.model_facts import decoding_of, in_groups, model_facts
from convmodel.reports.evaluation.reply_metrics import NGRAM, ReplyResult, find
from convmodel.reports.evaluation.task import (
    Card,
    EvaluationRun,
    EvaluationTask,
    Histogram,
    Lines,
    RunResult,
    check_same,
)

REPLIES, LIKELIHOODS = "replies.jsonl", "likelihoods.jsonl"


def run(task: EvaluationRun) -> RunResult:
    """Loads the model in float32, reads every conversation and replies to the chosen turns."""
    options, reader = task.options, ConversationReader(task.data, on_error=task.on_error)
    conversations = list(reader)
    chosen = examples(conversations, turns=options.turns, limit=options.limit or 0)
    check_names(options.decoding)
    Bleu(options.bleu_tokenize)  # what is missing is told before the work, not after
    model = ConversationModel.from_pretrained(task.model, task.device, "float32")
    decoding = options_of(decoding_of(model, options.decoding))
    read = likelihoods(model, conversations, predict=options.perplexity_on, tokens_per_batch=options.tokens_per_batch)
    lines: Lines = {REPLIES: list(_replies(model, chosen, read, options)), LIKELIHOODS: read}
    data = {
        "source": task.data,
        "fingerprint": fingerprint(conversations),
        "conversations": len(conversations),
        "skipped": reader.report.skipped,
    }
    return RunResult(model_facts(model, task.model), data, lines, {"decoding": decoding})


def _replies(
    model: ConversationModel, chosen: Sequence[Example], read: Sequence[Likelihoods], options: Options
) -> Iterator[ReplyResult]:
    for group in in_groups(chosen, desc="Replies"):
        seeds = [derive_seed(options.seed, example.conversation, example.turn) for example in group]
        outputs = _reply(model, group, seeds, options)
        for example, seed, output in zip(group, seeds, outputs, strict=True):
            yield _written(example, seed, output, read[example.conversation - 1])


def _reply(
    model: ConversationModel, group: Sequence[Example], seeds: Sequence[int], options: Options
) -> list[ConversationModelOutput]:
    """One output for each example; of several replies the likeliest per token is first, and is what is measured."""
    contexts, personas = [example.context for example in group], [example.persona for example in group]
    try:
        return model.generate_batch(
            contexts,
            personas=personas,
            seeds=seeds,
            scorer="likelihood" if decoding_of(model, options.decoding).replies > 1 else None,
            **options.decoding,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the model cannot reply to conversation {group[0].conversation} or one of the {len(group) - 1} after it "
            f"with the decoding options {dict(options.decoding)}: {' '.join(str(error).split())}"
        ) from error


def _written(example: Example, seed: int, output: ConversationModelOutput, read: Likelihoods) -> ReplyResult:
    reply, gold = output.responses[0], example.gold
    place = read.turns.index(example.turn) if example.turn in read.turns else None
    return ReplyResult(
        conversation=example.conversation,
        turn=example.turn,
        persona=list(example.persona),
        context=list(example.context),
        gold=gold,
        reply=reply,
        seed=seed,
        turns_dropped=output.turns_dropped,
        f1=f1(reply, gold),
        rouge_l=rouge_l(reply, gold),
        chrf=float(chrf(rows_of([chrf_counts(reply, gold)], [0], columns=CHRF_COUNTS)[0])),
        gold_log_likelihood=None if place is None else -read.nats[place],
        gold_tokens=None if place is None else read.tokens[place],
    )


def _alike(mine: Lines, theirs: Lines) -> None:
    """Raises ValueError unless both replied to the same turns and read the same ones."""
    asked = [[(one.persona, one.context, one.gold) for one in lines[REPLIES]] for lines in (mine, theirs)]
    said = [[(one.turns, one.words, one.characters) for one in lines[LIKELIHOODS]] for lines in (mine, theirs)]
    for what, (one, other) in {"examples": asked, "turns of perplexity": said}.items():
        check_same(what, one, other, cure="with the same --turns, --perplexity_on and --limit")


def _histograms(lines: Lines) -> list[Histogram]:
    """Lengths, F1, log-likelihood and repetition, reply by reply."""
    replies: Sequence[ReplyResult] = lines[REPLIES]
    said, gold = [len(words(one.reply)) for one in replies], [len(words(one.gold)) for one in replies]
    nats = [
        one.gold_log_likelihood / one.gold_tokens
        for one in replies
        if one.gold_log_likelihood is not None and one.gold_tokens
    ]
    return [
        Histogram("Length", "words of a reply", {"model": said, "gold": gold}, bins=None),
        Histogram("F1 with the gold reply", "F1", {"model": [one.f1 for one in replies]}),
        Histogram("How likely the model finds the gold reply", "nats per token", {"model": nats}),
        Histogram(
            "Repetition of the context",
            f"share of a reply's {NGRAM}-grams that were said before",
            {
                "model": [r / n for r, n in (repeated_from(one.context, one.reply, NGRAM) for one in replies) if n],
                "gold": [r / n for r, n in (repeated_from(one.context, one.gold, NGRAM) for one in replies) if n],
            },
        ),
    ]


def _ranked(lines: Lines) -> list[Card]:
    """By F1, then chrF, then how likely the gold reply was."""
    replies: Sequence[ReplyResult] = lines[REPLIES]
    return [_card(one) for one in sorted(replies, key=_merit, reverse=True)]


def _merit(one: ReplyResult) -> tuple[float, float, float]:
    tokens = one.gold_tokens or 1
    return one.f1, one.chrf, (one.gold_log_likelihood or 0.0) / tokens


def _card(one: ReplyResult) -> Card:
    facts = {"F1": f"{one.f1:.2f}", "chrF": f"{one.chrf:.0f}"}
    if one.gold_log_likelihood is not None and one.gold_tokens:
        facts["gold"] = f"{one.gold_log_likelihood / one.gold_tokens:.2f} nats/token"
    facts["conversation"] = f"{one.conversation:,}"
    return Card(one.context, {"gold": one.gold, "model": one.reply}, one.persona, facts)


WRITING = EvaluationTask(
    name="writing",
    made_of="config.json",
    options=frozenset(
        {
            *("turns", "perplexity_on", "limit", "decoding", "seed", "resamples", "confidence"),
            *("bleu_tokenize", "tokens_per_batch"),
        }
    ),
    limit=500,
    sides=("Most like the gold reply", "Least like the gold reply"),
    files={REPLIES: ReplyResult, LIKELIHOODS: Likelihoods},
    run=run,
    find=lambda lines, options: find(lines[REPLIES], lines[LIKELIHOODS], bleu_tokenize=options.bleu_tokenize),
    alike=_alike,
    histograms=_histograms,
    ranked=_ranked,
)
