"""Data with personas and two models in; out, how far their replies keep to the persona, with intervals.

Two measures. F1 of the words of a reply against those of all sentences of the persona, as replies that use the persona
share its words. And contradiction as the model itself sees it: the share of a persona's sentences whose negation, made
by rule ("i am" -> "i am not"), it finds likelier per token as its answer than the sentence. No model of inference
judges the replies.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.common import table, tell
from convmodel.metrics.bootstrap import percentile_interval, resample
from convmodel.metrics.metric import Metric, ratio, sum_by_unit
from convmodel.metrics.overlap import f1
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.examples import evenly_spaced

QUESTION = "tell me something about yourself ."
LIMIT = 250
"""Replies to generate, evenly spaced over the file."""

NEGATIONS = (
    (r"\b(i am|i'm|i was|my \w+ is|my \w+ are|i can|i have been) ", r"\1 not "),
    (r"\bi (have|own|like|love|want|work|live|play|go|eat|enjoy|drive|read|do|need|hate|wear|drink) ", r"i do not \1 "),
)
"""Patterns of the affirmative, and the negative."""

Example = dict[str, Any]


def negated(sentence: str) -> str | None:
    """Return the opposite of a sentence by the rules, or None if none applies, or it is negative already."""
    if re.search(r"\b(not|never|no|nothing|nor)\b|n't", sentence):
        return None
    for pattern, replacement in NEGATIONS:
        changed, count = re.subn(pattern, replacement, sentence, count=1)
        if count:
            return changed
    return None


def read_examples(file: Path) -> list[Example]:
    """Return the lines of a file: persona, turns, and candidates with the gold reply last."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def dialogues(examples: list[Example]) -> Iterator[Example]:
    """Yield each dialogue once, as the persona and all turns up to the last gold reply."""
    for _, group in groupby(examples, key=lambda example: (example["persona"], example["turns"][0])):
        last = max(group, key=lambda example: len(example["turns"]))
        yield {"persona": last["persona"], "turns": [*last["turns"], last["candidates"][-1]]}


def reply_overlap(model: ConversationModel, examples: list[Example], **options: Any) -> Metric:
    """Return the F1 of replies with the model's default decoding, seeds by place, over dialogues."""
    replies: list[str] = []
    for start in range(0, len(examples), 16):
        part = examples[start : start + 16]
        outputs = model.generate_batch(
            [example["turns"] for example in part],
            personas=[example["persona"] for example in part],
            seeds=range(start, start + len(part)),
            **options,
        )
        replies += [output.responses[0] for output in outputs]
    counts = [(f1(reply, " ".join(example["persona"])), 1.0) for reply, example in zip(replies, examples, strict=True)]
    return Metric("F1 against the persona", sum_by_unit(counts, _units(examples), columns=2), ratio)


def contradictions(model: ConversationModel, talks: list[Example]) -> Metric:
    """Return the share of persona sentences whose negation is likelier per token, over dialogues."""
    counts = []
    units = []
    for unit, talk in enumerate(talks):
        for sentence in talk["persona"]:
            opposite = negated(sentence)
            if opposite is not None:
                mine, other = model.score([QUESTION], [sentence, opposite], persona=talk["persona"]).per_token
                counts.append((float(other > mine), 1.0))
                units.append(unit)
    return Metric("negation likelier", sum_by_unit(counts, units, columns=2), ratio, better="lower")


def _units(examples: list[Example]) -> list[int]:
    """Return the index of each example's dialogue."""
    numbers: list[int] = []
    last = None
    for example in examples:
        key = (example["persona"], example["turns"][0])
        numbers.append(0 if not numbers else numbers[-1] + (key != last))
        last = key
    return numbers


def with_interval(metric: Metric) -> dict[str, float]:
    """Return the value of a metric and its 95 % interval over dialogues."""
    [values] = resample([metric], resamples=2000, seed=0)
    low, high = percentile_interval(values)
    return {"value": metric.value, "low": low, "high": high}


def persona_report(
    data: Path, folder: Path, model: str, tune: Callable[[Path], str], *, smoke: bool
) -> tuple[dict[str, Any], str]:
    """Fine-tune on the dialogues of the training file by `tune`, and measure the model before and after on the test."""
    train_file = folder / "persona-train.jsonl"
    talks = dialogues(read_examples(data / "train.jsonl"))
    train_file.write_text("".join(json.dumps(talk) + "\n" for talk in talks), encoding="utf-8")
    examples = read_examples(data / "test.jsonl")
    tested = list(dialogues(examples))[: 3 if smoke else None]
    chosen = [examples[index] for index in evenly_spaced(len(examples), 4 if smoke else LIMIT)]
    options = {"max_new_tokens": 4} if smoke else {}
    found: dict[str, Any] = {}
    for name, path in {"zero-shot": model, "fine-tuned": tune(train_file)}.items():
        tell(f"persona: {name}")
        writer = ConversationModel.from_pretrained(path, "cpu", "float32")
        metrics = [contradictions(writer, tested), reply_overlap(writer, chosen, **options)]
        found[name] = {metric.name: with_interval(metric) for metric in metrics}
    names = list(found["zero-shot"])
    rows = [[name, *(_cell(one[metric]) for metric in names)] for name, one in found.items()]
    return found, table(["", *names], rows)


def _cell(one: dict[str, float]) -> str:
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
