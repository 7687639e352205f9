"""What training learns not to repeat: candidates in a batch, the model's own continuations, and what comes of both."""

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2LMHeadModel

from convmodel.metrics.words import ngrams
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.language_model import LanguageModel
from convmodel.tokens.batching import Batch, pad
from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence, lay_out
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.language_module import LanguageModule
from convmodel.training.sequence_unlikelihood import ContinuedRows, SequenceUnlikelihood, continue_rows
from tests.conftest import MakeModel
from tests.training.conftest import Workshop, difference
from tests.training.test_language_module import CONVERSATIONS, after_one_step, batch_of, module_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
)
PERSONA = ["I like the rain."]
REPEATING = [["you you you", "you and you"], ["I am fine, I am fine", "fine"]]


def laid_out(tokenizer: ConversationTokenizer, conversations: list[list[str]], persona: list[str]) -> Batch:
    sep = tokenizer.sep_token_id
    sentences = tokenizer.encode_many(persona)
    rows = [
        lay_out(tokenizer.encode_many(turns), sep, persona=sentences, predicted=[True] * len(turns))
        for turns in conversations
    ]
    return pad(rows, pad_token_id=sep)


def by_formula(network: GPT2LMHeadModel, batch: Batch, alpha: float, sep: int) -> tuple[Tensor, int]:
    """The loss of arXiv:1908.04319, row by row and step by step, without padding; and the predicted tokens."""
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for ids, types, labels, metadata in zip(*batch.values(), strict=True):
        logits = network(ids[None], token_type_ids=types[None]).logits[0]
        for step in range(len(ids) - 1):
            target = int(labels[step + 1])
            if target == IGNORED:
                continue
            seen = set(ids[int(metadata) : step + 1].tolist()) - {target, sep}
            chances = logits[step].softmax(0)
            total = total - chances[target].log() - alpha * sum((1 - chances[c]).log() for c in seen)
            tokens += 1
    return total, tokens


@pytest.mark.parametrize("persona", [[], PERSONA], ids=["without a persona", "with a persona"])
@pytest.mark.parametrize("accumulated", [False, True], ids=["at once", "accumulated"])
def test_a_step_learns_what_the_formula_says(
    tokenizer: ConversationTokenizer, persona: list[str], accumulated: bool
) -> None:
    whole = laid_out(tokenizer, REPEATING, persona)
    batches = [laid_out(tokenizer, [turns], persona) for turns in REPEATING] if accumulated else [whole]
    found = after_one_step(module_of(tokenizer, unlikelihood_alpha=0.5), batches, accumulate_grad_batches=len(batches))
    network = module_of(tokenizer).language_model().hf_model.double()
    total, tokens = by_formula(network, whole, 0.5, tokenizer.sep_token_id)
    (total / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-6)


def test_neither_a_persona_nor_a_separator_is_a_candidate(tokenizer: ConversationTokenizer) -> None:
    """Of a conversation whose tokens are all different, nothing but persona and separators could come again."""
    turns = ["Hello"]
    plain = after_one_step(module_of(tokenizer), [laid_out(tokenizer, [turns], PERSONA)])
    # The first turn's first token is predicted when nothing but the persona was seen.
    batch = laid_out(tokenizer, [turns], PERSONA)
    ids = tokenizer.encode("Hello")
    batch["labels"][:, int(batch["metadata"]) + 2 :] = IGNORED
    alone = after_one_step(module_of(tokenizer), [batch])
    punished = after_one_step(module_of(tokenizer, unlikelihood_alpha=1.0), [batch])
    assert len(ids) > 1 and any(not torch.equal(plain[name], alone[name]) for name in plain)
    for name, gradient in alone.items():
        torch.testing.assert_close(punished[name], gradient, rtol=1e-12, atol=1e-15)


def test_at_alpha_0_a_step_is_to_the_bit_what_it_is_without_the_option(tokenizer: ConversationTokenizer) -> None:
    batch = batch_of(tokenizer, CONVERSATIONS)
    one, other = (after_one_step(module_of(tokenizer, **o), [batch]) for o in ({}, {"unlikelihood_alpha": 0.0}))
    assert all(torch.equal(one[name], other[name]) for name in one)


# Continuations


def going_on(model: GPT2LMHeadModel, batch: Batch, options: SequenceUnlikelihood, sep: int) -> ContinuedRows:
    return continue_rows(model, batch, options, sep_token_id=sep)


def alone(model: GPT2LMHeadModel, ids: list[int], types: list[int] | None, number: int, sep: int) -> list[int]:
    """Goes on from one row without a cache, one token after the other."""
    ids, types = list(ids), None if types is None else list(types)
    for _ in range(number):
        kinds = None if types is None else torch.tensor([types])
        with torch.no_grad():
            token = int(model(torch.tensor([ids]), token_type_ids=kinds).logits[0, -1].argmax())
        ids.append(token)
        if types is not None:
            types.append(1 - types[-1] if token == sep else types[-1])
        elif token == sep:
            break
    return ids


@pytest.mark.parametrize("typed", [True, False], ids=["conversations", "documents"])
@pytest.mark.parametrize("ending", [0.0, 2.0])
def test_rows_go_on_as_each_would_alone(make_model: MakeModel, typed: bool, ending: float) -> None:
    model = make_model(n_positions=40, ending=ending)
    sep, source = model.tokenizer.sep_token_id, random.Random(0)
    options = SequenceUnlikelihood(prefix=6, continuation=20)
    rows = []
    for length, metadata in ((4, 0), (9, 3), (30, 0), (25, 14), (38, 30)):
        ids = [sep, *(source.randrange(1, 200) for _ in range(length)), sep]
        rows.append(ConversationSequence(ids, [source.randrange(2) for _ in ids], ids, metadata))
    batch = pad(rows * 3, pad_token_id=sep)
    if not typed:
        del batch["token_type_ids"]
    found = going_on(model.hf_model, batch, options, sep)
    assert len(found.input_ids) >= 5 and found.input_ids.shape[1] == 40
    assert found.input_ids.numel() <= batch["input_ids"].numel()
    for number, ids in enumerate(found.input_ids.tolist()):
        row = rows[number % len(rows)]
        begin = min(row.metadata + 6, len(row.input_ids) - 1)
        expected = alone(
            model.hf_model,
            row.input_ids[:begin],
            row.token_type_ids[:begin] if typed else None,
            min(20, 40 - begin),
            sep,
        )
        assert ids[: len(expected)] == expected
        places = torch.nonzero(found.written[number])[:, 0].tolist()
        assert places == list(range(begin, len(expected)))
        if found.token_type_ids is not None:
            types = found.token_type_ids[number].tolist()
            assert types[:begin] == row.token_type_ids[:begin]
            for place in range(begin, len(expected)):
                assert (types[place] != types[place - 1]) == (ids[place] == sep)


def test_a_batch_that_predicts_nothing_gives_nothing_to_unlearn(model: ConversationModel) -> None:
    sep = model.tokenizer.sep_token_id
    found = going_on(model.hf_model, pad([], pad_token_id=sep), SequenceUnlikelihood(), sep)
    assert found.input_ids.tolist() == [[sep]] and not found.written.any()


def test_only_what_the_model_wrote_itself_is_a_candidate_and_never_a_separator(model: ConversationModel) -> None:
    sep = model.tokenizer.sep_token_id
    batch = batch_of(model.tokenizer, [["you " * 12, "you"]])
    found = going_on(model.hf_model, batch, SequenceUnlikelihood(prefix=9), sep)
    candidates = found.candidates(2, sep_token_id=sep)
    assert candidates.any() and not candidates[:, :9].any()
    written = found.input_ids[0][found.written[0]].tolist()
    repeated = {
        w for n, w in enumerate(ngrams([str(i) for i in written], 2)) if w in ngrams([str(i) for i in written], 2)[:n]
    }
    marked = [str(i) for i in found.input_ids[0][candidates[0]].tolist()]
    assert set(marked) == {token for gram in repeated for token in gram} - {str(sep)}


def test_a_step_of_own_texts_learns_what_the_formula_says(tokenizer: ConversationTokenizer) -> None:
    options = {"share": 1.0, "ngram": 2, "prefix": 4, "continuation": 12}
    batch, sep = batch_of(tokenizer, [["Hello, how are you?", "I am fine"]]), tokenizer.sep_token_id
    found = after_one_step(module_of(tokenizer, sequence_unlikelihood=options), [batch])
    network = module_of(tokenizer).language_model().hf_model.double()
    own = going_on(network.eval(), batch, SequenceUnlikelihood(**options), sep)  # type: ignore[arg-type]
    chances = network(own.input_ids, token_type_ids=own.token_type_ids).logits.softmax(2)
    terms = [
        -(1 - chances[0, place - 1, own.input_ids[0, place]]).log()
        for place, candidate in enumerate(own.candidates(2, sep_token_id=sep)[0].tolist())
        if candidate
    ]
    assert len(terms) > 2
    torch.stack(terms).mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-8)


def test_gradients_of_own_texts_reach_all_weights_under_bf16_autocast(tokenizer: ConversationTokenizer) -> None:
    """Weights that were cast while the model wrote without gradients must not be read again for them."""
    own = {"share": 1.0, "ngram": 1, "prefix": 4, "continuation": 12}
    module = module_of(tokenizer, sequence_unlikelihood=own)
    assert module.hf_model is not None
    fit(module, batch_of(tokenizer, [["Hello, how are you?", "I am fine"]]), steps=1, precision="bf16-mixed")
    assert all(weights.grad is not None and weights.grad.any() for weights in module.hf_model.parameters())


def fit(module: LanguageModule[Any], batch: Batch, *, steps: int, **options: Any) -> None:
    """Trains on one batch again and again."""
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


def loops(model: LanguageModel[Any], batch: Batch) -> float:
    """The share of repeated 4-grams in what a model goes on with."""
    sep = model.tokenizer.sep_token_id
    found = going_on(model.hf_model, batch, SequenceUnlikelihood(prefix=4, continuation=40), sep)
    return float(found.candidates(4, sep_token_id=sep).sum() / found.written.sum())


def before_and_after_own_texts(module: LanguageModule[Any], batch: Batch) -> tuple[float, float]:
    """The share of repeated 4-grams when a batch was learned, and when some steps of own texts have followed."""
    fit(module, batch, steps=60)
    before = loops(module.language_model(), batch)
    module._sequence_unlikelihood = SequenceUnlikelihood(share=1.0, prefix=4, continuation=40)
    fit(module, batch, steps=20)
    return before, loops(module.language_model(), batch)


def test_some_steps_of_own_texts_break_the_loop_of_a_model_that_learned_one(tokenizer: ConversationTokenizer) -> None:
    batch = batch_of(tokenizer, [["the rain and the rain and the rain and the rain and the rain and the rain"]])
    before, after = before_and_after_own_texts(module_of(tokenizer, learning_rate=0.01), batch)
    assert before > 0.8 and after < before / 2


# Runs


OWN: dict[str, Any] = {
    "model__unlikelihood_alpha": 0.5,
    "model__sequence_unlikelihood__share": 0.5,
    "model__sequence_unlikelihood__prefix": 8,
    "model__sequence_unlikelihood__continuation": 16,
    "model__sequence_unlikelihood__ngram": 1,
    "trainer__accumulate_grad_batches": 2,
    "trainer__max_epochs": 10,
    "trainer__limit_val_batches": 0,
}


def test_whoever_holds_a_part_of_the_weights_cannot_write_own_texts(tokenizer: ConversationTokenizer) -> None:
    module = module_of(tokenizer, sequence_unlikelihood={"share": 0.5})
    module._trainer = cast(Trainer, SimpleNamespace(strategy=object.__new__(FSDPStrategy)))
    with pytest.raises(ValueError, match=r"share=0\.5 with trainer\.strategy=fsdp"):
        module.on_fit_start()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_that_was_stopped_goes_on_as_though_it_never_was(workshop: Workshop, precision: str) -> None:
    given = OWN | {"trainer__precision": precision, "model__schedule": "constant"}
    workshop.train(run="whole", trainer__max_steps=7, **given)
    workshop.train(run="cut", trainer__max_steps=3, **given)
    workshop.train(run="cut", trainer__max_steps=7, ckpt_path="last", **given)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    workshop.train(run="plain", trainer__max_steps=7, **{n: v for n, v in given.items() if "unlikelihood" not in n})
    assert difference(workshop.weights("plain"), workshop.weights("whole")) > 0
