"""What may be said: inputs, replies with their candidates, what is counted and what is kept."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from convmodel.responders.protocol import Candidate, Reply
from convmodel.serving.safety import BlockReason, Policy, WordList

WORDS = BlockReason("input", "words")


class Labels:
    """A classifier that flags texts that hold a label, and remembers what it read."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.read: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        self.read.append(list(texts))
        return [next((label for label in self.labels if label in text), None) for text in texts]


def reply(*texts: str, **others: Any) -> Reply:
    candidates = tuple(
        Candidate(text, -float(n), finish="stop" if n else "length", tokens=n + 3) for n, text in enumerate(texts)
    )
    return Reply(candidates, finish="length", reply_tokens=3, **others)


def test_a_blocked_input_names_the_check_that_blocked_it() -> None:
    policy = Policy(words=WordList(["rain"]), classifier=Labels("rude", "sad"))
    assert policy.check_input(["Hello", "How are you?"]) is None
    assert policy.check_input([]) is None
    assert policy.check_input(["Hello", "It RAINS, I like rain"]) == WORDS
    assert policy.check_input(["a sad one", "rain"]) == BlockReason("input", "classifier", "sad")
    assert policy.check_output(["a rude one"]) == BlockReason("output", "classifier", "rude")


def test_the_classifier_gets_texts_that_pass_the_word_list_in_one_batch() -> None:
    labels = Labels("sad")
    policy = Policy(words=WordList(["rain"]), classifier=labels)
    policy.check_input(["one", "rain", "two"])
    policy.check_input(["rain"])
    assert labels.read == [["one", "two"]]


def test_the_first_candidate_that_passes_becomes_the_reply() -> None:
    policy = Policy(words=WordList(["rain"]), classifier=Labels("sad"))
    given = reply("rain today", "so sad", "sun today", "rain", "sea", seed=5, window=64)
    allowed, blocked = policy.pick(given)
    assert allowed is not None and blocked is None
    assert [candidate.text for candidate in allowed.candidates] == ["sun today", "sea"]
    assert (allowed.text, allowed.finish, allowed.reply_tokens, allowed.seed, allowed.window) == (
        "sun today",
        "stop",
        5,
        5,
        64,
    )


def test_a_reply_that_passes_is_unchanged_and_a_blocked_one_is_none() -> None:
    policy = Policy(words=WordList(["rain"]), classifier=Labels("sad"))
    good, bad = reply("sun", "sea"), reply("sad", "rain")
    assert policy.pick(good) == (good, None) and policy.pick(good)[0] is good
    assert policy.pick(bad) == (None, BlockReason("output", "classifier", "sad"))
    assert policy.pick(reply("")) == (reply(""), None)


@pytest.mark.parametrize(("sides", "checked"), [(["input"], (True, False)), (["output"], (False, True))])
def test_an_unchecked_side_lets_all_texts_pass(sides: Any, checked: tuple[bool, bool]) -> None:
    policy = Policy(words=WordList(["rain"]), sides=sides)
    assert (policy.checks_input, policy.checks_output) == checked
    assert (policy.check_input(["rain"]) is not None, policy.check_output(["rain"]) is not None) == checked
    assert (policy.pick(reply("rain"))[0] is None) == checked[1]
    assert len(policy.counts) == 1


def test_blocked_texts_are_counted_by_side_check_and_label() -> None:
    policy = Policy(words=WordList(["rain"]), classifier=Labels("sad"))
    policy.check_input(["rain", "rain"])  # one request
    policy.check_input(["sad"])
    policy.check_input(["fine"])
    policy.pick(reply("rain", "sad", "sun"))
    policy.pick(reply("sad"))
    assert policy.counts == {
        WORDS: 1,
        BlockReason("input", "classifier", "sad"): 1,
        BlockReason("output", "words"): 1,
        BlockReason("output", "classifier", "sad"): 2,
    }


def test_threads_count_together() -> None:
    policy = Policy(words=WordList(["rain"]), classifier=Labels("sad"))
    source = random.Random(0)
    texts = [source.choice(["rain", "sad", "sun"]) for _ in range(800)]

    def ask(part: list[str]) -> None:
        for text in part:
            policy.check_input([text])

    threads = [threading.Thread(target=ask, args=(texts[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(texts)
    assert policy.counts == {WORDS: counts["rain"], BlockReason("input", "classifier", "sad"): counts["sad"]}


def test_the_stored_form_of_a_blocked_text_is_configurable() -> None:
    words = WordList(["rain"])
    assert Policy(words=words).store == "placeholder"
    assert Policy(words=words, store="text").store == "text"
    assert Policy(words=words, store="nothing").store == "nothing"


def test_a_failing_classifier_lets_no_text_pass() -> None:
    def broken(texts: Sequence[str]) -> list[str | None]:
        raise RuntimeError("out of memory")

    policy = Policy(classifier=broken)
    for ask in (lambda: policy.check_input(["Hello"]), lambda: policy.pick(reply("Hello"))):
        with pytest.raises(RuntimeError, match="out of memory"):
            ask()
    few = Policy(classifier=lambda texts: [None])
    with pytest.raises(ValueError):
        few.check_input(["one", "two"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the policy has nothing to check with; give a word list or a classifier"),
        ({"words": WordList(["a"]), "sides": []}, "allowed are input, output, and at least one"),
        ({"words": WordList(["a"]), "sides": ["inputs"]}, "sides=inputs; allowed are input, output"),
        ({"words": WordList(["a"]), "store": "all"}, "store='all'; allowed are nothing, placeholder, text"),
        ({"words": WordList(["a"]), "say": " "}, "say is blank"),
    ],
)
def test_an_invalid_policy_is_rejected(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**given)
