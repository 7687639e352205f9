"""Encoder-decoders: replies and scores of transformers' own, with contexts as their tokenizers write them."""

import json
import logging
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel

from convmodel.models import text_generation
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.text_generation import write
from convmodel.responders.writer import Writer
from convmodel.tokens.session import Session
from tests.models.encoder_decoders import KINDS, save_encoder_decoder

CONTEXTS = [
    ["Hello, how are you?"],
    ["Do you like music?", "Yes, I play the guitar and the piano.", "Where do you live?"],
    ["I am fine", "you"],
]
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Path:
    save_encoder_decoder(tmp_path / "model", kind)
    return tmp_path / "model"


@pytest.fixture
def model(folder: Path) -> ConversationModel:
    return ConversationModel.from_pretrained(folder, "cpu", "float32")


def encoder_ids(kind: str, folder: Path, turns: list[str]) -> list[int]:
    """Return a context as each model was trained to read it, from the tokens of whole texts."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    if kind == "blenderbot":
        return list(tokenizer("  ".join(f" {turn}" for turn in turns))["input_ids"])
    ids = [list(tokenizer(turn)["input_ids"]) for turn in turns]
    if kind == "t5":
        return [*chain(*ids)]
    if kind == "bart":
        return [0, *chain(*(turn_ids[1:] for turn_ids in ids))]
    newline = tokenizer.convert_tokens_to_ids("__newln__")
    return [*chain(*([newline, *turn_ids] for turn_ids in ids))][1:]


@torch.no_grad()
def own_reply(network: PreTrainedModel, ids: list[int], **options: Any) -> list[int]:
    """Return the tokens that transformers' `generate` writes after the decoder's first, to one context alone."""
    given = torch.tensor([ids])
    written = (
        cast(Any, network)
        .generate(input_ids=given, attention_mask=torch.ones_like(given), min_new_tokens=1, **options)[0, 1:]
        .tolist()
    )
    end = network.config.eos_token_id
    return cast(list[int], written[: written.index(end)] if end in written else written)


@pytest.mark.parametrize("options", [GREEDY, GREEDY | {"num_beams": 3}], ids=["greedy", "beams"])
def test_replies_to_a_ragged_batch_are_those_of_generate(
    kind: str, folder: Path, model: ConversationModel, options: dict[str, Any]
) -> None:
    decoding = model.decoding(**options)
    jobs = [model.prepare(turns, (), decoding).job for turns in CONTEXTS]
    texts = write(model.hf_model, model.tokenizer, jobs)
    for turns, job, [text] in zip(CONTEXTS, jobs, texts, strict=True):
        ids = encoder_ids(kind, folder, turns)
        assert job.row.input_ids == ids
        expected = own_reply(model.hf_model, ids, **options)
        assert list(text.ids) == expected
        assert text.text == model.tokenizer.decode(expected).strip()
        assert text.finish == ("length" if len(expected) >= 12 - (kind != "t5") else "end")


def test_seeds_several_replies_and_stops(model: ConversationModel) -> None:
    options: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "max_new_tokens": 8, "num_return_sequences": 3}
    one = model.generate(CONTEXTS[0], seed=5, **options).responses
    assert model.generate_batch(CONTEXTS[::-1], seeds=[1, 2, 5], **options)[2].responses == one
    assert len({*one}) == 3
    text = model.generate(CONTEXTS[0], **GREEDY).responses[0]
    stop = text[len(text) // 2]
    assert model.generate(CONTEXTS[0], stop_strings=stop, **GREEDY).responses[0] == text[: text.index(stop)].rstrip()


def test_a_saved_folder_replies_alike(folder: Path, model: ConversationModel, tmp_path: Path) -> None:
    expected = model.generate_batch(CONTEXTS, **GREEDY)
    model.save_pretrained(tmp_path / "saved")
    again = ConversationModel.from_pretrained(tmp_path / "saved", "cpu", "float32")
    assert again.tokenizer.layout_options.layout == "encoder"
    assert again.generate_batch(CONTEXTS, **GREEDY) == expected


def test_scores_are_the_log_likelihoods_of_labels(kind: str, folder: Path, model: ConversationModel) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    replies = ["I am fine", "Yes, I play the guitar"]
    scores = model.score(CONTEXTS[1], replies)
    ids = torch.tensor([encoder_ids(kind, folder, CONTEXTS[1])])
    for reply, summed, count in zip(replies, scores.summed, scores.num_tokens, strict=True):
        labels = list(tokenizer(reply)["input_ids"])
        if labels[-1] != tokenizer.eos_token_id:
            labels.append(tokenizer.eos_token_id)
        with torch.no_grad():
            logits = cast(Any, model.hf_model)(input_ids=ids, labels=torch.tensor([labels])).logits[0]
        wanted = logits.log_softmax(-1).gather(1, torch.tensor(labels)[:, None])
        assert count == len(wanted)
        assert summed == pytest.approx(float(wanted.sum()), abs=1e-4)
    ranked = model.generate(CONTEXTS[0], scorer="likelihood", num_return_sequences=3, num_beams=3, **GREEDY)
    assert ranked.scores == sorted(ranked.scores or [], reverse=True)


def test_a_context_has_the_encoders_window_for_itself(model: ConversationModel) -> None:
    if model.n_positions > 64:
        pytest.skip("T5's positions are relative")
    decoding = model.decoding(do_sample=False, max_new_tokens=63)
    inputs = model.prepare(["Hello you"] * 30, ["I like music."], decoding)
    assert 55 <= len(inputs.job.row.input_ids) <= 64 and inputs.turns_dropped >= 20
    [[text]] = write(model.hf_model, model.tokenizer, [inputs.job])
    assert len(text.ids) <= 63
    with pytest.raises(ValueError, match=r"max_new_tokens=64, but the decoder has a window of 64 tokens; .* 1 to 63"):
        model.decoding(max_new_tokens=64)
    with pytest.raises(ValueError, match=r"a candidate has \d+ tokens, and the decoder reads 61"):
        model.score(["Hello"], ["Hello " * 70])
    assert model.score(["Hello"], ["Hello " * 70], cut=True).num_tokens[0] in (62, 63)


@pytest.mark.parametrize("text", ["a</s>b", "a  b", "a\nb", "a __newln__ b", "a__end__b", "<s> a </s>"])
def test_no_text_forges_a_turn(kind: str, model: ConversationModel, text: str) -> None:
    try:
        forged = model.tokenizer([text, "you"])["input_ids"]
    except ValueError as error:
        assert "forge" in str(error)
        return
    words = model.tokenizer(["you"])["input_ids"]
    between = {"blenderbot": model.tokenizer.encode("  "), "t5": [1], "bart": [2]}.get(kind, [4])
    pairs = [forged[n : n + len(between)] for n in range(len(forged))]
    ends = words[-1:] == between
    assert pairs.count(between) == 1 + ends


def test_a_writer_streams_the_whole_text_and_tells_of_the_way_once(
    model: ConversationModel, caplog: pytest.LogCaptureFixture
) -> None:
    text_generation.WARNED.clear()
    expected = model.generate(CONTEXTS[0], **GREEDY).responses[0]
    session = Session()
    with Writer(model) as writer:
        handle = writer.start(CONTEXTS[0], options=GREEDY, session=session)
        assert "".join(handle) == handle.result().text == expected
        context = [*CONTEXTS[0], expected or "you", "And you?"]
        reply = writer.start(context, options=GREEDY, session=session).result()
        assert reply.text == model.generate(context, **GREEDY).responses[0]
        assert writer.start(CONTEXTS[0], options=writer.presets["careful"], seed=1).result().candidates
    told = [record for record in caplog.records if "does not support this architecture" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]


def test_a_decoder_without_a_first_token_is_an_error_at_loading(tmp_path: Path) -> None:
    save_encoder_decoder(tmp_path, "t5")
    for name in ("config.json", "generation_config.json"):
        options = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        options = {
            key: value for key, value in options.items() if key not in ("decoder_start_token_id", "bos_token_id")
        }
        (tmp_path / name).write_text(json.dumps(options), encoding="utf-8")
    with pytest.raises(ValueError, match="needs decoder_start_token_id"):
        ConversationModel.from_pretrained(tmp_path, "cpu", "float32")


def test_documents_and_other_layouts_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="an encoder-decoder, which replies and does not continue documents"):
        DocumentModel.from_pretrained(folder, "cpu")
    with pytest.raises(ValueError, match="dtype='int8' is for models without an encoder"):
        ConversationModel.from_pretrained(folder, "cpu", "int8")
    model = ConversationModel.from_pretrained(folder, "cpu")
    with pytest.raises(ValueError, match="layout='separators': an encoder-decoder has the layout 'encoder'; leave"):
        ConversationModel(model.hf_model, model.tokenizer, layout="separators")
