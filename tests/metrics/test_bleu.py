"""BLEU and chrF are sacrebleu's, over all replies and over each resample."""

import random

import numpy as np
import pytest
import sacrebleu

from convmodel.metrics.bleu import (
    BLEU_COUNTS,
    CHRF_COUNTS,
    TOKENIZERS,
    Bleu,
    chrf,
    chrf_counts,
    chrf_signature,
)
from convmodel.metrics.metric import sum_by_unit
from tests.conftest import random_text

REPLIES = [
    "I am fine, thanks.",
    "",
    "It rains today, and I like the rain.",
    "元気です。",
    "ok",
    " spaces   inside ",
    "no",
]
GOLDS = [
    "I'm fine, thank you.",
    "Yes.",
    "It rains, and I like the rain very much.",
    "元気だよ。",
    "ok",
    "spaces in",
    "abc",
]


def pairs(seed: int) -> tuple[list[str], list[str]]:
    source = random.Random(seed)
    golds = [random_text(source) for _ in range(30)]
    replies = [gold if source.random() < 0.3 else random_text(source) + gold[:8] for gold in golds]
    return [*REPLIES, *replies], [*GOLDS, *golds]


def summed(counts: list[list[int]], columns: int) -> np.ndarray:
    return sum_by_unit(counts, [0] * len(counts), columns=columns)[0]


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
def test_bleu_is_what_sacrebleu_gives_for_the_corpus(tokenize: str) -> None:
    metric = Bleu(tokenize)
    for seed in range(3):
        replies, golds = pairs(seed)
        counts = [metric.counts(reply, gold) for reply, gold in zip(replies, golds, strict=True)]
        expected = sacrebleu.corpus_bleu(replies, [golds], tokenize=tokenize)
        assert float(metric.score(summed(counts, BLEU_COUNTS))) == pytest.approx(expected.score, abs=1e-12)


def test_chrf_is_what_sacrebleu_gives_for_the_corpus() -> None:
    for seed in range(10):
        replies, golds = pairs(seed)
        counts = [chrf_counts(reply, gold) for reply, gold in zip(replies, golds, strict=True)]
        expected = sacrebleu.corpus_chrf(replies, [golds])
        assert float(chrf(summed(counts, CHRF_COUNTS))) == pytest.approx(expected.score, abs=1e-9)


@pytest.mark.parametrize(("reply", "gold"), list(zip(REPLIES, GOLDS, strict=True)))
def test_chrf_of_a_single_reply_is_sacrebleus(reply: str, gold: str) -> None:
    expected = sacrebleu.corpus_chrf([reply], [[gold]]).score
    assert float(chrf(np.array(chrf_counts(reply, gold)))) == pytest.approx(expected)


def test_resamples_are_the_corpora_that_were_drawn() -> None:
    replies, golds = pairs(5)
    metric = Bleu()
    weights = np.random.default_rng(0).integers(0, 3, size=(5, len(replies)))
    drawn = [np.repeat(np.arange(len(replies)), one) for one in weights]
    rows = np.array([metric.counts(a, b) for a, b in zip(replies, golds, strict=True)])
    characters = np.array([chrf_counts(a, b) for a, b in zip(replies, golds, strict=True)])
    for number, chosen in enumerate(drawn):
        mine, theirs = [replies[i] for i in chosen], [golds[i] for i in chosen]
        assert metric.score(weights @ rows)[number] == pytest.approx(sacrebleu.corpus_bleu(mine, [theirs]).score)
        assert chrf(weights @ characters)[number] == pytest.approx(sacrebleu.corpus_chrf(mine, [theirs]).score)


def test_nothing_has_no_score_and_empty_replies_score_nothing() -> None:
    assert np.isnan(Bleu().score(np.zeros(BLEU_COUNTS))) and np.isnan(chrf(np.zeros(CHRF_COUNTS)))
    assert Bleu().score(np.array(Bleu().counts("", "Yes."))) == chrf(np.array(chrf_counts("", "Yes."))) == 0.0


def test_the_signatures_are_sacrebleus() -> None:
    version = sacrebleu.__version__
    assert Bleu("char").signature == f"nrefs:1|case:mixed|eff:no|tok:char|smooth:exp|version:{version}"
    assert chrf_signature() == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}"


def test_a_tokenizer_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"bleu_tokenize='spm'; allowed are 13a, intl, char"):
        Bleu("spm")
    assert set(TOKENIZERS) <= set(sacrebleu.BLEU.TOKENIZERS)
    try:
        import MeCab  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match=r'pip install "sacrebleu\[ja\]"'):
            Bleu("ja-mecab")
