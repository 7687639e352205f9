"""Cross-encoders around every kind of encoder, against each pair computed alone."""

from pathlib import Path

import pytest
import torch

from convmodel.generation.cpu import has_vnni
from convmodel.generation.int8 import is_int8
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder, CrossNetwork
from convmodel.models.selection.encoder import Architecture
from convmodel.models.selection.layout import pad_rows
from convmodel.models.selection.selector import Selector
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.cross_encoders import (
    CANDIDATES,
    CONTEXTS,
    alone,
    check_recomputing,
    cross,
    gradients,
    rows_of,
)

pytestmark = pytest.mark.machine

PERSONAS = [[], ["I like the rain."], ["I live in a house.", "I play the piano."]]

ARCHITECTURES: list[Architecture] = ["bert", "distilbert", "gpt2"]


# Scores


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("pooling", [None, "mean", "last"])
@torch.no_grad()
def test_a_score_is_that_of_the_pair_alone_without_padding(
    make_selector: MakeSelector, architecture: Architecture, pooling: str | None
) -> None:
    selector = cross(make_selector, architecture, pooling=pooling)
    scores = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    assert scores.shape == (3, 5) and scores.dtype == torch.float32
    encode = selector.tokenizer.encode
    for b, (context, persona) in enumerate(zip(CONTEXTS, PERSONAS, strict=True)):
        row = selector.context_row([encode(text) for text in context], [encode(text) for text in persona])
        for c, candidate in enumerate(CANDIDATES):
            pair = selector.layout.pair(row, encode(candidate))
            torch.testing.assert_close(scores[b, c], alone(selector, pair), atol=1e-4, rtol=1e-4)
    assert float(scores[:, :4].std(1).min()) > 1e-3  # they do look at the candidate
    assert float(scores.std(0).min()) > 1e-3  # and at the context


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("pooling", ["mean", "last"])
@torch.no_grad()
def test_compare_pooled_compares_the_pooled_parts_of_a_pair(
    make_selector: MakeSelector, architecture: Architecture, pooling: str
) -> None:
    selector = cross(make_selector, architecture, pooling=pooling, compare_pooled=True)
    assert not selector.shares_contexts
    head = selector.network.head
    initial_head = CrossNetwork(selector.network.encoder, "mean", compare_pooled=True).head
    assert set(initial_head.weight[0].tolist()) == {20.0} and initial_head.bias.item() == 0  # 20 times the cosine
    torch.nn.init.normal_(head.weight)
    scores = selector.score(CONTEXTS, CANDIDATES)
    encode = selector.tokenizer.encode
    for b, context in enumerate(CONTEXTS):
        row = selector.context_row([encode(text) for text in context])
        for c, candidate in enumerate(CANDIDATES):
            pair = selector.layout.pair(row, encode(candidate))
            states = selector.network.encoder(pad_rows([pair], 0))[0]
            parts = [states[: len(row)], states[len(row) :]]
            of_context, of_candidate = (part.mean(0) if pooling == "mean" else part[-1] for part in parts)
            expected = (head.weight[0] * of_context * of_candidate).sum() / (
                of_context.norm() * of_candidate.norm()
            ) + head.bias[0]
            torch.testing.assert_close(scores[b, c], expected, atol=1e-4, rtol=1e-4)


def test_a_saved_selector_with_compare_pooled_scores_the_same_when_loaded(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    selector = cross(make_selector, "bert", compare_pooled=True)
    selector.save_pretrained(tmp_path)
    loaded = Selector.from_pretrained(tmp_path, "cpu", "float32")
    assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), selector.score(CONTEXTS, CANDIDATES))


def test_the_default_pooling_is_first_for_encoders_and_last_for_gpt2(make_selector: MakeSelector) -> None:
    assert [cross(make_selector, kind).network.pooling for kind in ARCHITECTURES] == ["first", "first", "last"]
    assert [cross(make_selector, kind).shares_contexts for kind in ARCHITECTURES] == [False, False, True]
    assert not cross(make_selector, "gpt2", pooling="mean").shares_contexts


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_do_not_depend_on_other_contexts_or_on_separate_pools(
    make_selector: MakeSelector, architecture: Architecture
) -> None:
    selector = cross(make_selector, architecture)
    scores = selector.score(CONTEXTS, CANDIDATES)
    pool_scores = selector.score(CONTEXTS, [CANDIDATES, CANDIDATES[::-1], CANDIDATES])
    torch.testing.assert_close(
        pool_scores, torch.stack([scores[0], scores[1].flip(0), scores[2]]), atol=1e-4, rtol=1e-4
    )
    separate_scores = torch.cat([selector.score([context], CANDIDATES) for context in CONTEXTS])
    torch.testing.assert_close(separate_scores, scores, atol=1e-4, rtol=1e-4)
    assert selector.score([], CANDIDATES).shape == (0, 5)


# Training


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_recomputing_gives_the_same_gradients_dropout_included(
    make_selector: MakeSelector, architecture: Architecture
) -> None:
    selector = cross(make_selector, architecture)
    contexts, candidates = rows_of(selector, 1, 3, 4)
    first = check_recomputing(selector, contexts, candidates)
    torch.manual_seed(1)
    other = gradients(selector, selector.score_rows(contexts, candidates))
    assert any(float((other[name] - first[name]).abs().max()) > 1e-3 for name in other)


# Folders


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_cross_encoder_scores_the_same_when_loaded(
    make_selector: MakeSelector, tmp_path: Path, architecture: Architecture
) -> None:
    selector = cross(make_selector, architecture)
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    assert type(loaded) is CrossEncoder and loaded.options() == selector.options()
    assert loaded.fingerprint() == selector.fingerprint()
    assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), selector.score(CONTEXTS, CANDIDATES))


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_in_int8_scores_are_close_and_saving_is_refused(
    make_selector: MakeSelector, tmp_path: Path, architecture: Architecture
) -> None:
    selector = cross(make_selector, architecture)
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", device="cpu", dtype="int8")
    assert is_int8(loaded.network) and not is_int8(selector.network)
    exact = selector.score(CONTEXTS, CANDIDATES)
    rounded = loaded.score(CONTEXTS, CANDIDATES)
    tolerance = 0.15 if has_vnni() else 0.3  # of 16 numbers, each rounded to 8 or 7 bits, few cancel out
    assert float((rounded - exact).abs().mean()) < tolerance * float(exact.std())
    assert loaded.fingerprint() == selector.fingerprint() and loaded.dtype == "int8"
    with pytest.raises(ValueError, match='a model in int8 cannot be saved; load it with dtype="float32"'):
        loaded.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_bi_encoder_has_no_int8(make_selector: MakeSelector, tmp_path: Path) -> None:
    make_selector(BiEncoder).save_pretrained(tmp_path / "bi")
    with pytest.raises(ValueError, match='dtype="int8": a bi-encoder has no such form; use "auto", "float32"'):
        Selector.from_pretrained(tmp_path / "bi", device="cpu", dtype="int8")


# What is asked wrongly


def test_pairs_longer_than_the_encoders_positions_are_refused(make_selector: MakeSelector) -> None:
    cross(make_selector, max_context=44, max_candidate=20)
    with pytest.raises(ValueError, match="max_context=45 and max_candidate=20 together; this encoder reads 64 tokens"):
        cross(make_selector, max_context=45, max_candidate=20)
    with pytest.raises(ValueError, match="max_candidate=2; this encoder reads 3 to 64 tokens"):
        cross(make_selector, max_candidate=2)


def test_a_decoder_with_pooling_first_is_refused(make_selector: MakeSelector) -> None:
    with pytest.raises(ValueError, match="a decoder's first token sees no other; allowed are last and mean"):
        cross(make_selector, "gpt2", pooling="first")


def test_encoding_candidates_in_advance_is_refused(make_selector: MakeSelector) -> None:
    with pytest.raises(
        TypeError,
        match="a cross-encoder reads context and candidate together, so candidates cannot be encoded",
    ):
        cross(make_selector).encode_candidates(CANDIDATES)


def test_wrong_texts_are_refused(make_selector: MakeSelector) -> None:
    selector = cross(make_selector)
    with pytest.raises(TypeError, match="give a list of contexts, each a list of turns"):
        selector.score(["Hello"], CANDIDATES)
    with pytest.raises(ValueError, match=r"2 pools of \[1, 2\] candidates for 3 contexts"):
        selector.score(CONTEXTS, [["a"], ["b", "c"]])
    with pytest.raises(ValueError, match="there are no candidates"):
        selector.score(CONTEXTS, [])
