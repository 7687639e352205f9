"""Unlikelihood training: candidates in a batch, continuations by the model, and their effect."""

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel

from convmodel.metrics.words import ngrams
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.language_model import LanguageModel
from convmodel.tokens.batching import Batch, pad
from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.separator_layout import SeparatorLayout
from convmodel.training.language_module import LanguageModule
from convmodel.training.sequence_unlikelihood import ContinuedRows, SequenceUnlikelihood, continue_rows
from tests.conftest import MakeModel
from tests.training.conftest import Workshop, difference
from tests.training.test_language_module import CONVERSATIONS, batch_of, gradients_of_one_step, module_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)
PERSONA = ["I like the rain."]
REPEATING = [["you you you", "you and you"], ["I am fine, I am fine", "fine"]]


def lay_out_batch(tokenizer: ConversationTokenizer, conversations: list[list[str]], persona: list[str]) -> Batch:
    sep = tokenizer.sep_token_id
    sentences = tokenizer.encode_many(persona)
    rows = [
        SeparatorLayout(sep).lay_out(tokenizer.encode_many(turns), persona=sentences, predicted=[True] * len(turns))
        for turns in conversations
    ]
    return pad(rows, pad_token_id=sep)


def loss_by_formula(network: PreTrainedModel, batch: Batch, alpha: float, sep: int) -> tuple[Tensor, int]:
    """Return the loss of arXiv:1908.04319, step by step and without padding, and the number of predicted tokens."""
    loss_sum = torch.zeros((), dtype=torch.float64)
    tokens = 0
    for ids, types, labels, metadata, _ in zip(*batch.values(), strict=True):
        logits = network(ids[None], token_type_ids=types[None]).logits[0]
        for step in range(len(ids) - 1):
            target = int(labels[step + 1])
            if target == IGNORED:
                continue
            seen = set(ids[int(metadata) : step + 1].tolist()) - {target, sep}
            probabilities = logits[step].softmax(0)
            loss_sum = loss_sum - probabilities[target].log() - alpha * sum((1 - probabilities[c]).log() for c in seen)
            tokens += 1
    return loss_sum, tokens


@pytest.mark.parametrize("persona", [[], PERSONA], ids=["without a persona", "with a persona"])
@pytest.mark.parametrize("accumulated", [False, True], ids=["at once", "accumulated"])
def test_the_gradients_of_a_step_are_those_of_the_formula(
    tokenizer: ConversationTokenizer, persona: list[str], accumulated: bool
) -> None:
    batch = lay_out_batch(tokenizer, REPEATING, persona)
    batches = [lay_out_batch(tokenizer, [turns], persona) for turns in REPEATING] if accumulated else [batch]
    gradients = gradients_of_one_step(
        module_of(tokenizer, unlikelihood_alpha=0.5), batches, accumulate_grad_batches=len(batches)
    )
    network = module_of(tokenizer).language_model().hf_model.double()
    loss_sum, tokens = loss_by_formula(network, batch, 0.5, tokenizer.sep_token_id)
    (loss_sum / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(gradients[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-6)


def test_personas_and_separators_are_no_candidates(tokenizer: ConversationTokenizer) -> None:
    """In a conversation of different tokens, only those of the persona and separators could be repeated."""
    turns = ["Hello"]
    plain = gradients_of_one_step(module_of(tokenizer), [lay_out_batch(tokenizer, [turns], PERSONA)])
    # The first turn's first token is predicted when nothing but the persona was seen.
    batch = lay_out_batch(tokenizer, [turns], PERSONA)
    ids = tokenizer.encode("Hello")
    batch["labels"][:, int(batch["metadata"]) + 2 :] = IGNORED
    cross_entropy_only = gradients_of_one_step(module_of(tokenizer), [batch])
    unlikelihood = gradients_of_one_step(module_of(tokenizer, unlikelihood_alpha=1.0), [batch])
    assert len(ids) > 1 and any(not torch.equal(plain[name], cross_entropy_only[name]) for name in plain)
    for name, gradient in cross_entropy_only.items():
        torch.testing.assert_close(unlikelihood[name], gradient, rtol=1e-12, atol=1e-15)


def test_alpha_0_has_exactly_the_gradients_of_cross_entropy(tokenizer: ConversationTokenizer) -> None:
    batch = batch_of(tokenizer, CONVERSATIONS)
    default = gradients_of_one_step(module_of(tokenizer), [batch])
    alpha_0 = gradients_of_one_step(module_of(tokenizer, unlikelihood_alpha=0.0), [batch])
    assert all(torch.equal(default[name], alpha_0[name]) for name in default)


# Continuations


def continue_batch(model: PreTrainedModel, batch: Batch, options: SequenceUnlikelihood, sep: int) -> ContinuedRows:
    return continue_rows(model, batch, options, end_token_ids=[sep])


def continue_row(model: PreTrainedModel, ids: list[int], types: list[int] | None, number: int, sep: int) -> list[int]:
    """Continue one row token by token without a cache."""
    ids = list(ids)
    types = None if types is None else list(types)
    for _ in range(number):
        token_types = None if types is None else torch.tensor([types])
        with torch.no_grad():
            token = int(model(torch.tensor([ids]), token_type_ids=token_types).logits[0, -1].argmax())
        ids.append(token)
        if types is not None:
            types.append(1 - types[-1] if token == sep else types[-1])
        elif token == sep:
            break
    return ids


@pytest.mark.parametrize("typed", [True, False], ids=["conversations", "documents"])
@pytest.mark.parametrize("ending", [0.0, 2.0])
def test_rows_are_continued_as_each_alone(make_model: MakeModel, typed: bool, ending: float) -> None:
    model = make_model(n_positions=40, ending=ending)
    sep = model.tokenizer.sep_token_id
    source = random.Random(0)
    options = SequenceUnlikelihood(prefix=6, continuation=20)
    rows = []
    for length, metadata in ((4, 0), (9, 3), (30, 0), (25, 14), (38, 30)):
        ids = [sep, *(source.randrange(1, 200) for _ in range(length)), sep]
        rows.append(ConversationSequence(ids, [source.randrange(2) for _ in ids], ids, metadata, [(1, length + 1)]))
    batch = pad(rows * 3, pad_token_id=sep)
    if not typed:
        del batch["token_type_ids"]
    continued = continue_batch(model.hf_model, batch, options, sep)
    assert len(continued.input_ids) >= 5 and continued.input_ids.shape[1] == 40
    assert continued.input_ids.numel() <= batch["input_ids"].numel()
    for number, ids in enumerate(continued.input_ids.tolist()):
        row = rows[number % len(rows)]
        start = min(row.metadata + 6, len(row.input_ids) - 1)
        expected = continue_row(
            model.hf_model,
            row.input_ids[:start],
            row.token_type_ids[:start] if typed else None,
            min(20, 40 - start),
            sep,
        )
        assert ids[: len(expected)] == expected
        positions = torch.nonzero(continued.written[number])[:, 0].tolist()
        assert positions == list(range(start, len(expected)))
        if continued.token_type_ids is not None:
            types = continued.token_type_ids[number].tolist()
            assert types[:start] == row.token_type_ids[:start]
            for position in range(start, len(expected)):
                assert (types[position] != types[position - 1]) == (ids[position] == sep)


@pytest.mark.parametrize("ending", [6.0, 9.0])
def test_continuations_have_the_types_of_the_next_speakers_of_the_row(make_model: MakeModel, ending: float) -> None:
    model = make_model(n_positions=60, ending=ending)
    layout = SeparatorLayout(model.tokenizer.sep_token_id, max_speakers=4)
    sep = layout.pad_token_id
    source = random.Random(0)
    orders = [[0, 1, 2, 2, 3, 0], [0, 1], [0, 0, 1, 2, 1], [0, 1, 0, 1]]
    rows = []
    for order in orders:
        turns = [[source.randrange(1, 200) for _ in range(3)] for _ in order]
        rows.append(layout.lay_out(turns, predicted=[True] * len(turns), speakers=[*order, order[-1]]))
    options = SequenceUnlikelihood(prefix=6, continuation=30)
    continued = continue_rows(
        model.hf_model, pad(rows * 4, pad_token_id=sep), options, end_token_ids=[sep], several=True
    )
    assert continued.token_type_ids is not None and len(continued.input_ids) >= 4
    changes = 0
    for order, ids, types in zip(orders, continued.input_ids.tolist(), continued.token_type_ids.tolist(), strict=False):
        told = [*order, order[-1]]
        while len(told) < 60:
            told.append(told[-2])
        turn = -1
        for position in range(min(36, len(ids))):
            turn += ids[position] == sep
            changes += ids[position] == sep
            assert types[position] == told[turn]
    assert changes > 12, changes


def test_a_batch_without_labels_has_no_continuations(model: ConversationModel) -> None:
    sep = model.tokenizer.sep_token_id
    continued = continue_batch(model.hf_model, pad([], pad_token_id=sep), SequenceUnlikelihood(), sep)
    assert continued.input_ids.tolist() == [[sep]] and not continued.written.any()


def test_only_generated_tokens_except_separators_are_candidates(model: ConversationModel) -> None:
    sep = model.tokenizer.sep_token_id
    batch = batch_of(model.tokenizer, [["you " * 12, "you"]])
    continued = continue_batch(model.hf_model, batch, SequenceUnlikelihood(prefix=9), sep)
    candidates = continued.candidates(2, end_token_ids=[sep])
    assert candidates.any() and not candidates[:, :9].any()
    written = continued.input_ids[0][continued.written[0]].tolist()
    repeated = {
        w for n, w in enumerate(ngrams([str(i) for i in written], 2)) if w in ngrams([str(i) for i in written], 2)[:n]
    }
    candidate_tokens = [str(i) for i in continued.input_ids[0][candidates[0]].tolist()]
    assert set(candidate_tokens) == {token for gram in repeated for token in gram} - {str(sep)}


def test_the_gradients_of_a_step_on_continuations_are_those_of_the_formula(tokenizer: ConversationTokenizer) -> None:
    options = {"share": 1.0, "ngram": 2, "prefix": 4, "continuation": 12}
    batch = batch_of(tokenizer, [["Hello, how are you?", "I am fine"]])
    sep = tokenizer.sep_token_id
    gradients = gradients_of_one_step(module_of(tokenizer, sequence_unlikelihood=options), [batch])
    network = module_of(tokenizer).language_model().hf_model.double()
    continued = continue_batch(network.eval(), batch, SequenceUnlikelihood(**options), sep)  # type: ignore[arg-type]
    probabilities = network(continued.input_ids, token_type_ids=continued.token_type_ids).logits.softmax(2)
    terms = [
        -(1 - probabilities[0, position - 1, continued.input_ids[0, position]]).log()
        for position, candidate in enumerate(continued.candidates(2, end_token_ids=[sep])[0].tolist())
        if candidate
    ]
    assert len(terms) > 2
    torch.stack(terms).mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(gradients[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-8)


def test_all_weights_have_gradients_from_continuations_under_bf16_autocast(tokenizer: ConversationTokenizer) -> None:
    """Weights that autocast cached during generation without gradients must not be reused for training."""
    options = {"share": 1.0, "ngram": 1, "prefix": 4, "continuation": 12}
    module = module_of(tokenizer, sequence_unlikelihood=options)
    assert module.hf_model is not None
    fit(module, batch_of(tokenizer, [["Hello, how are you?", "I am fine"]]), steps=1, precision="bf16-mixed")
    assert all(weights.grad is not None and weights.grad.any() for weights in module.hf_model.parameters())


def fit(module: LanguageModule[Any], batch: Batch, *, steps: int, **options: Any) -> None:
    """Train on one batch repeatedly."""
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, DataLoader(cast(Dataset[Batch], [batch] * steps), batch_size=None))


def repeated_share(model: LanguageModel[Any], batch: Batch) -> float:
    """Return the share of repeated 4-grams in the continuations of a model."""
    sep = model.tokenizer.sep_token_id
    continued = continue_batch(model.hf_model, batch, SequenceUnlikelihood(prefix=4, continuation=40), sep)
    return float(continued.candidates(4, end_token_ids=[sep]).sum() / continued.written.sum())


def repetition_before_and_after(module: LanguageModule[Any], batch: Batch) -> tuple[float, float]:
    """Return the share of repeated 4-grams after learning a batch, and after steps on continuations."""
    fit(module, batch, steps=60)
    before = repeated_share(module.language_model(), batch)
    module._sequence_unlikelihood = SequenceUnlikelihood(share=1.0, prefix=4, continuation=40)
    fit(module, batch, steps=20)
    return before, repeated_share(module.language_model(), batch)


def test_steps_on_continuations_reduce_the_repetition_of_a_looping_model(tokenizer: ConversationTokenizer) -> None:
    batch = batch_of(tokenizer, [["the rain and the rain and the rain and the rain and the rain and the rain"]])
    before, after = repetition_before_and_after(module_of(tokenizer, learning_rate=0.01, optimizer="adamw"), batch)
    assert before > 0.8 and after < before / 2


# Runs


SEQUENCE_OPTIONS: dict[str, Any] = {
    "model__unlikelihood_alpha": 0.5,
    "model__sequence_unlikelihood__share": 0.5,
    "model__sequence_unlikelihood__prefix": 8,
    "model__sequence_unlikelihood__continuation": 16,
    "model__sequence_unlikelihood__ngram": 1,
    "trainer__accumulate_grad_batches": 2,
    "trainer__max_epochs": 10,
    "trainer__limit_val_batches": 0,
    "data__tokens_per_batch": 256,
}


def test_sequence_unlikelihood_is_rejected_with_sharded_weights(tokenizer: ConversationTokenizer) -> None:
    module = module_of(tokenizer, sequence_unlikelihood={"share": 0.5}, optimizer="adamw")
    module._trainer = cast(Trainer, SimpleNamespace(strategy=object.__new__(FSDPStrategy)))
    with pytest.raises(ValueError, match=r"share=0\.5 with trainer\.strategy=fsdp"):
        module.on_fit_start()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_resumed_run_has_equal_weights(workshop: Workshop, precision: str) -> None:
    given = SEQUENCE_OPTIONS | {"trainer__precision": precision, "model__schedule": "constant"}
    workshop.train(run="whole", trainer__max_steps=5, **given)
    workshop.train(run="cut", trainer__max_steps=2, **given)
    workshop.train(run="cut", trainer__max_steps=5, ckpt_path="last", **given)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    workshop.train(run="plain", trainer__max_steps=5, **{n: v for n, v in given.items() if "unlikelihood" not in n})
    assert difference(workshop.weights("plain"), workshop.weights("whole")) > 0
