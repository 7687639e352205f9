"""BLEU and chrF equal those of sacrebleu, for all replies and for each resample."""

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
def test_bleu_equals_sacrebleu(tokenize: str) -> None:
    metric = Bleu(tokenize)
    for seed in range(3):
        replies, golds = pairs(seed)
        counts = [metric.counts(reply, gold) for reply, gold in zip(replies, golds, strict=True)]
        expected = sacrebleu.corpus_bleu(replies, [golds], tokenize=tokenize)
        assert float(metric.score(summed(counts, BLEU_COUNTS))) == pytest.approx(expected.score, abs=1e-12)


def test_chrf_equals_sacrebleu() -> None:
    for seed in range(10):
        replies, golds = pairs(seed)
        counts = [chrf_counts(reply, gold) for reply, gold in zip(replies, golds, strict=True)]
        expected = sacrebleu.corpus_chrf(replies, [golds])
        assert float(chrf(summed(counts, CHRF_COUNTS))) == pytest.approx(expected.score, abs=1e-9)


@pytest.mark.parametrize(("reply", "gold"), list(zip(REPLIES, GOLDS, strict=True)))
def test_chrf_of_a_single_reply_equals_sacrebleu(reply: str, gold: str) -> None:
    expected = sacrebleu.corpus_chrf([reply], [[gold]]).score
    assert float(chrf(np.array(chrf_counts(reply, gold)))) == pytest.approx(expected)


def test_resampled_bleu_equals_that_of_the_drawn_corpora() -> None:
    replies, golds = pairs(5)
    metric = Bleu()
    weights = np.random.default_rng(0).integers(0, 3, size=(5, len(replies)))
    drawn = [np.repeat(np.arange(len(replies)), one) for one in weights]
    rows = np.array([metric.counts(a, b) for a, b in zip(replies, golds, strict=True)])
    characters = np.array([chrf_counts(a, b) for a, b in zip(replies, golds, strict=True)])
    for index, chosen in enumerate(drawn):
        own = [replies[i] for i in chosen]
        others = [golds[i] for i in chosen]
        assert metric.score(weights @ rows)[index] == pytest.approx(sacrebleu.corpus_bleu(own, [others]).score)
        assert chrf(weights @ characters)[index] == pytest.approx(sacrebleu.corpus_chrf(own, [others]).score)


def test_without_replies_the_score_is_nan_and_empty_replies_score_0() -> None:
    assert np.isnan(Bleu().score(np.zeros(BLEU_COUNTS))) and np.isnan(chrf(np.zeros(CHRF_COUNTS)))
    assert Bleu().score(np.array(Bleu().counts("", "Yes."))) == chrf(np.array(chrf_counts("", "Yes."))) == 0.0


def test_signatures_are_those_of_sacrebleu() -> None:
    version = sacrebleu.__version__
    assert Bleu("char").signature == f"nrefs:1|case:mixed|eff:no|tok:char|smooth:exp|version:{version}"
    assert chrf_signature() == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}"


def test_an_unknown_tokenizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"bleu_tokenize='spm'; allowed are 13a, intl, char"):
        Bleu("spm")
    assert set(TOKENIZERS) <= set(sacrebleu.BLEU.TOKENIZERS)
    try:
        import MeCab  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match=r'pip install "sacrebleu\[ja\]"'):
            Bleu("ja-mecab")
