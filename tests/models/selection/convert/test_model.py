"""ConveRT as a selector: how texts are laid out, encoded, trained, saved in 8 and 16 bits, and loaded again."""

import copy
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.convert.model import Convert, ConvertContext
from convmodel.models.selection.convert.network import ConvertNetwork, ConvertSizes, scale_at
from convmodel.models.selection.convert.tokenizer import ConvertTokenizer
from convmodel.models.selection.layout import EncoderInput, pad_rows
from convmodel.models.selection.selector import Selector
from tests.conftest import TEXTS
from tests.models.selection.convert.networks import encode, encode_extra

pytestmark = pytest.mark.machine

CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]
CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No", "жаба"]
PERSONAS = [[], ["I like the rain."], ["I live in a house.", "I play the piano."]]
SMALL = ConvertSizes(100, 20, width=16, projection=4, windows=(2, 5), inner=32, encoding=8, positions=(7, 3))


def make(extra_contexts: int = 10, max_tokens: int = 60) -> Convert:
    """A small selector none of whose weights has its initial value."""
    torch.manual_seed(0)
    selector = Convert.untrained(TEXTS * 3, SMALL, extra_contexts=extra_contexts, max_tokens=max_tokens)
    with torch.no_grad():
        for name, weights in selector.network.named_parameters():
            if not name.startswith("embeddings"):
                weights.add_(torch.randn_like(weights) * 0.3)
    return selector


def ids(selector: Convert, texts: list[str]) -> list[list[int]]:
    return [selector.tokenizer.encode(text) for text in texts]


def vectors(selector: Convert, side: str, row: list[int]) -> Tensor:
    return encode(selector.network, side, *padded(row))


def padded(*rows: list[int]) -> tuple[Tensor, Tensor]:
    batch = pad_rows([EncoderInput(row, [0] * len(row)) for row in rows], 0)
    return batch.ids, batch.mask


# Layout


def test_messages_are_truncated_on_the_left_and_candidates_on_the_right() -> None:
    selector = make(0, 6)
    long = list(range(9))
    assert selector.context_row([[1], long]) == ConvertContext([3, 4, 5, 6, 7, 8], [])
    assert selector.candidate_row(long) == [0, 1, 2, 3, 4, 5]


def test_the_second_input_is_the_persona_and_the_earlier_messages_newest_first() -> None:
    selector = make(2, 6)
    turns = [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert selector.context_row(turns) == ConvertContext([4, 4], [3, 3, 2, 2])
    assert selector.context_row(turns, [[8], [9]]) == ConvertContext([4, 4], [8, 9, 3, 3, 2, 2])
    assert selector.context_row(turns, [[8, 8], [9]]) == ConvertContext([4, 4], [8, 8, 9, 3, 3, 2])
    assert selector.context_row([[4, 4]]) == ConvertContext([4, 4], [])
    assert len(selector.context_row(turns)) == 6


def test_without_extra_contexts_the_persona_precedes_the_message_and_leaves_it_half_of_the_tokens() -> None:
    selector = make(0, 6)
    assert selector.context_row([[1], [4, 4]], [[8], [9]]).newest == [8, 9, 4, 4]
    assert selector.context_row([[4, 4]], [[9] * 5]).newest == [9, 9, 9, 9, 4, 4]
    assert selector.context_row([[1, 2, 3, 4, 5]], [[9] * 5]).newest == [9, 9, 9, 3, 4, 5]
    assert selector.context_row([[1, 2, 3, 4, 5]], [[8], [9]]).newest == [8, 9, 2, 3, 4, 5]


# Scores


@pytest.mark.parametrize("extra_contexts", [0, 10])
@torch.no_grad()
def test_a_score_is_the_cosine_of_the_pair_alone(extra_contexts: int) -> None:
    selector = make(extra_contexts)
    scores = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    assert scores.shape == (3, 5) and scores.dtype == torch.float32
    for b, (context, persona) in enumerate(zip(CONTEXTS, PERSONAS, strict=True)):
        row = selector.context_row(ids(selector, context), ids(selector, persona))
        for c, candidate in enumerate(CANDIDATES):
            response = vectors(selector, "response", selector.tokenizer.encode(candidate))[0]
            if row.extra:
                context_vectors = encode_extra(selector.network, *padded(row.newest), *padded(row.extra))[0]
                expected = functional.cosine_similarity(context_vectors.sum(0), response, dim=0)
            else:
                expected = vectors(selector, "context", row.newest)[0] @ response
            torch.testing.assert_close(scores[b, c], expected, atol=1e-5, rtol=1e-4)
    alone = torch.cat([selector.score([turns], CANDIDATES) for turns in CONTEXTS])
    torch.testing.assert_close(selector.score(CONTEXTS, CANDIDATES), alone, atol=1e-5, rtol=1e-4)


def test_packed_inference_equals_the_padded_network_before_and_after_a_training_step() -> None:
    selector = make()
    rows = [selector.context_row(ids(selector, context)) for context in CONTEXTS]
    candidates = ids(selector, CANDIDATES)
    optimizer = torch.optim.SGD(selector.network.parameters(), lr=0.5)
    history: list[Tensor] = []
    for _ in range(2):
        vectors = selector.encode_context_rows(rows).vectors
        responses = selector.encode_candidate_rows(candidates)
        with torch.no_grad():
            torch.testing.assert_close(selector.encode_context_rows(rows).vectors, vectors, atol=1e-5, rtol=0)
            torch.testing.assert_close(selector.encode_candidate_rows(candidates), responses, atol=1e-5, rtol=0)
        history.append(vectors.detach())
        (vectors[0] @ responses.T).sum().backward()
        optimizer.step()
    assert float((history[0] - history[1]).abs().max()) > 1e-3


def test_int8_gives_nearly_the_same_cosines(tmp_path: Path) -> None:
    sizes = ConvertSizes(100, 20, width=128, projection=16, windows=(2, 5), inner=256, encoding=64)
    Convert.untrained(TEXTS * 3, sizes).save_pretrained(tmp_path / "saved")
    exact, rounded = (Convert.from_pretrained(tmp_path / "saved", "cpu", dtype) for dtype in ("float32", "int8"))
    texts = [*TEXTS, *CANDIDATES]
    vectors = exact.encode_candidates(texts)
    others = rounded.encode_candidates(texts)
    assert 0 < float((vectors @ vectors.T - others @ others.T).abs().max()) < 0.01
    best, rounded_best = (selector.score(CONTEXTS, CANDIDATES).argmax(1) for selector in (exact, rounded))
    assert best.tolist() == rounded_best.tolist()
    assert rounded.fingerprint() == exact.fingerprint()
    exact.network.to("meta")
    with pytest.raises(ValueError, match='dtype="int8" runs on the CPU'):
        exact.to_int8()


def test_bfloat16_gives_nearly_the_same_cosines(tmp_path: Path) -> None:
    selector = make()
    selector.save_pretrained(tmp_path / "saved")
    rounded = Convert.from_pretrained(tmp_path / "saved", "cpu", "bfloat16")
    assert rounded.encode_candidates(["Hello"]).dtype == torch.bfloat16
    difference = (selector.score(CONTEXTS, CANDIDATES) - rounded.score(CONTEXTS, CANDIDATES)).abs().max()
    assert 0 < float(difference) < 0.05


# Training


@pytest.mark.parametrize("recompute", [False, True])
def test_the_loss_is_the_sum_of_the_in_batch_losses_of_the_three_vectors(recompute: bool) -> None:
    selector = make()
    contexts = [["Hello"], ["Hello", "How are you?"], ["Do you like music?", "I am fine"], ["I live", "No"]]
    texts = ["I am fine", "I live by the sea", "No", "I am fine"]
    rows = [selector.context_row(ids(selector, context)) for context in contexts]
    loss = selector.training_loss(
        *selector.context_vectors(rows, recompute=recompute),
        selector.encode_candidate_rows(ids(selector, texts), recompute=recompute),
        torch.tensor([0, 1, 2, 0]),
        batch=5_000,
    )
    responses = torch.cat([vectors(selector, "response", row) for row in ids(selector, texts)])
    expected = torch.zeros(())
    for position in range(3):
        losses = []
        for index, row in enumerate(rows):
            if position and not row.extra:
                continue
            extra = padded(row.extra or [0])
            vector = encode_extra(selector.network, *padded(row.newest), *extra)[0, position]
            candidates = [c for c in range(4) if c == index or texts[c] != texts[index]]
            chances = (scale_at(5_000, width=8) * responses[candidates] @ vector).log_softmax(0)
            losses.append(-0.8 * chances[candidates.index(index)] - 0.2 * chances.mean())
        expected = expected + torch.stack(losses).mean()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
    loss.backward()
    gradients = [p.grad.clone() for p in selector.network.parameters() if p.grad is not None]
    selector.network.zero_grad()
    expected.backward()
    expected_gradients = [p.grad for p in selector.network.parameters() if p.grad is not None]
    assert len(expected_gradients) == len(list(selector.network.parameters()))
    torch.testing.assert_close(gradients, expected_gradients, atol=1e-5, rtol=1e-3)


def test_without_earlier_messages_in_the_batch_only_one_of_the_three_losses_counts() -> None:
    selector = make()
    rows = [selector.context_row(ids(selector, [text])) for text in TEXTS]
    responses = selector.encode_candidate_rows(ids(selector, TEXTS))
    loss = selector.training_loss(*selector.context_vectors(rows), responses, torch.arange(4), batch=0)
    vectors = selector.encode_context_rows(rows).vectors[:, 0]
    expected = functional.cross_entropy(vectors @ responses.T, torch.arange(4), label_smoothing=0.2)
    torch.testing.assert_close(loss, expected)


# What is saved


def test_a_loaded_selector_scores_as_the_trained_one_with_weights_of_16_bits(tmp_path: Path) -> None:
    selector = make()
    with torch.no_grad():
        selector.network.embeddings.words.range.mul_(0.7)  # some numbers lie outside
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    assert isinstance(loaded, Convert) and loaded.options() == selector.options()
    assert loaded.fingerprint() == selector.fingerprint()
    scores = loaded.score(CONTEXTS, CANDIDATES)
    torch.testing.assert_close(scores, selector.score(CONTEXTS, CANDIDATES), atol=2e-3, rtol=0)
    rounded = copy.deepcopy(selector)
    with torch.no_grad():
        for name, weights in rounded.network.named_parameters():
            if not name.startswith("embeddings"):
                weights.copy_(weights.half().float())
    torch.testing.assert_close(scores, rounded.score(CONTEXTS, CANDIDATES), atol=1e-6, rtol=0)
    loaded.save_pretrained(tmp_path / "again")
    for name in ("model.safetensors", "selector.json", "tokenizer.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_a_saved_selector_of_the_papers_sizes_has_58_megabytes(tmp_path: Path) -> None:
    tokenizer = ConvertTokenizer.learn((f"{n:x}" for n in range(60_000)), 31_476)
    selector = Convert.__new__(Convert)
    with torch.device("meta"):
        network = ConvertNetwork(ConvertSizes(vocab_size=len(tokenizer) - 1_000))
    Convert.__init__(selector, network.to_empty(device="cpu"), tokenizer)
    with torch.no_grad():
        for weights in network.parameters():
            weights.fill_(0.5)
    assert selector.parameters() == pytest.approx(37.5e6, abs=5e4)
    selector.save_pretrained(tmp_path / "saved")
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "saved").iterdir()}
    assert sizes["model.safetensors"] == pytest.approx(58.4e6, abs=1e5)
    assert sum(sizes.values()) < 60e6


def test_weights_without_8_bit_embeddings_are_refused(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / "model.safetensors"
    save_file({name: tensor.float() for name, tensor in load_file(file).items()}, file)
    with pytest.raises(ValueError, match=r"does not hold embeddings\.words in 8 bits"):
        Convert.from_pretrained(tmp_path / "saved")


def test_a_network_and_arguments_that_do_not_match_are_refused() -> None:
    selector = make(0)
    tokenizer = cast(ConvertTokenizer, selector.tokenizer)
    with pytest.raises(ValueError, match="the network was made without them"):
        Convert(selector.network, tokenizer, extra_contexts=3)
    with pytest.raises(ValueError, match="at least 0 and 2 are needed"):
        Convert(selector.network, tokenizer, max_tokens=1)
    with pytest.raises(ValueError, match=r"has 120 tokens, and the network rows for 125"):
        Convert(ConvertNetwork(ConvertSizes(105, 20, width=16, windows=(1,))), tokenizer)


def test_a_selector_loaded_in_inference_mode_scores_the_same(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "saved")
    plain = Convert.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    with torch.inference_mode():
        loaded = Convert.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
        assert torch.equal(loaded.score(CONTEXTS, CANDIDATES), plain.score(CONTEXTS, CANDIDATES))
