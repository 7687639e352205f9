"""Seeds, the state that generating leaves behind, and streamed texts against the text of all ids at once."""

import logging
import random
from typing import Any

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from convmodel.generation.padded import ModelInput
from convmodel.generation.request import RequestState
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.text_generation import collect_texts, make_job, write
from convmodel.tokens.reasoning import ReasoningTags

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}


def test_dropout_is_off_while_replying_and_the_model_is_left_as_it_was(model: ConversationModel) -> None:
    model.hf_model.train()
    replies = {model.generate(["Hello"], **GREEDY).responses[0] for _ in range(5)}
    assert len(replies) == 1 and model.hf_model.training
    model.hf_model.eval()
    model.generate(["Hello"], **GREEDY)
    assert not model.hf_model.training


def test_an_architecture_outside_the_engine_is_written_by_generate_and_named_once(
    model: ConversationModel, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = model.tokenizer
    sizes = MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, state_size=4)
    network = MambaForCausalLM(sizes).eval()
    row = ModelInput(tokenizer.encode("Hello"), None)
    expected = network.generate(
        input_ids=torch.tensor([row.input_ids]), generation_config=model.decoding(**GREEDY).config
    )
    with caplog.at_level(logging.WARNING):
        texts = [write(network, tokenizer, [make_job(tokenizer, row, model.decoding(**GREEDY))]) for _ in range(2)]
    assert texts[0] == texts[1] and texts[0][0][0].ids == tuple(expected[0, len(row.input_ids) :].tolist())
    [record] = [record for record in caplog.records if record.name.startswith("convmodel")]
    assert record.getMessage().startswith("MambaForCausalLM: the engine does not support this architecture")
    with pytest.raises(ValueError, match=r"no_repeat_context_ngram_size needs .* leave it out, or take another"):
        write(network, tokenizer, [make_job(tokenizer, row, model.decoding(no_repeat_context_ngram_size=2))])


DRAWN: list[dict[str, Any]] = [
    {"temperature": 1.5, "top_p": 0.95},
    {"temperature": 1.5, "num_return_sequences": 3},
    {"top_k": 0, "min_p": 0.05, "typical_p": 0.9, "no_repeat_context_ngram_size": 2, "self_repetition_penalty": 0.5},
    {"num_beams": 2, "temperature": 2.0},  # from here on by transformers' generate
    {"eta_cutoff": 0.01, "temperature": 1.5},
    {"epsilon_cutoff": 0.01, "temperature": 1.5, "num_return_sequences": 2},
    {"temperature": 1.5, "min_length": 3, "max_length": 60},
]


@pytest.mark.parametrize("options", DRAWN, ids=" ".join)
def test_a_seed_gives_the_same_replies_in_any_batch_and_order(
    model: ConversationModel, contexts: list[list[str]], personas: list[list[str]], options: dict[str, Any]
) -> None:
    options = {"do_sample": True, "max_new_tokens": 8} | options
    if "max_length" in options:
        del options["max_new_tokens"]
    indices = range(0, len(contexts), 2)
    alone = {n: model.generate(contexts[n], persona=personas[n], seed=n % 4, **options).responses for n in indices}
    for size in (9, 4):
        order = random.Random(size).sample(indices, size)
        result = model.generate_batch(
            [contexts[n] for n in order], personas=[personas[n] for n in order], seeds=[n % 4 for n in order], **options
        )
        assert [output.responses for output in result] == [alone[n] for n in order]
    other = model.generate_batch([contexts[n] for n in indices], seeds=[50 + n for n in indices], **options)
    assert [output.responses for output in other] != [alone[n] for n in indices]


@pytest.mark.parametrize("options", [DRAWN[0], DRAWN[3], {"do_sample": False}], ids=" ".join)
def test_a_seed_does_not_change_the_state_of_torchs_generator(
    model: ConversationModel, options: dict[str, Any]
) -> None:
    options = {"do_sample": True, "max_new_tokens": 4} | options
    before = torch.random.get_rng_state()
    model.generate_batch([["Hello"], ["Hi"]], seeds=[1, 2], **options)
    assert torch.random.get_rng_state().equal(before)


@pytest.mark.parametrize("options", [DRAWN[0], DRAWN[3]], ids=" ".join)
def test_without_seeds_manual_seed_makes_a_program_reproducible(
    model: ConversationModel, options: dict[str, Any]
) -> None:
    options = {"do_sample": True, "max_new_tokens": 8} | options
    programs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches = [model.generate_batch([["Hello"]] * 3, **options) for _ in range(2)]
        programs.append([output.responses for outputs in batches for output in outputs])
    assert programs[0] == programs[1] != programs[2]
    assert len({str(responses) for responses in programs[0]}) > 1  # the same context is not replied to alike


def test_several_replies_of_one_seed_differ_and_the_first_equals_a_single_reply(model: ConversationModel) -> None:
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.5, "max_new_tokens": 8}
    five = model.generate(["Hello"], seed=7, num_return_sequences=5, **options).responses
    assert len(set(five)) == 5
    assert model.generate(["Hello"], seed=7, **options).responses == five[:1]
    assert model.generate(["Hello"], seed=7, num_return_sequences=3, **options).responses == five[:3]


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1"])
def test_an_invalid_seed_is_refused(model: ConversationModel, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed=.*; allowed are whole numbers from 0 to 2\*\*63 - 1"):
        model.generate(["Hello"], seed=seed)
    with pytest.raises(ValueError, match="1 seeds for 2 contexts; give one each, or none"):
        model.generate_batch([["Hello"], ["Hi"]], seeds=[1])


# Reasoning


@pytest.mark.parametrize("streamed", [True, False])
def test_reasoning_is_kept_out_of_the_text_and_of_its_pieces(model: ConversationModel, streamed: bool) -> None:
    ids = model.tokenizer.encode("<think>It rains.</think>\n\nHello you")
    pieces: list[str] = []
    row = ModelInput(model.tokenizer(["Hello"])["input_ids"], None)
    decoding = model.decoding(do_sample=False)
    sink = pieces.append if streamed else None
    job = make_job(model.tokenizer, row, decoding, sink=sink, reasoning=ReasoningTags())
    [request] = job.requests
    assert (request.stop is not None) == streamed
    if request.stop is not None:
        assert not any(map(request.stop, ids))
    state = RequestState(request, tokens=ids, finish="end")
    [text] = collect_texts(job, [state])
    assert (text.text, text.reasoning, text.ids) == ("Hello you", "It rains.", tuple(ids))
    assert "".join(pieces) == ("Hello you" if streamed else "")
