"""Replies and scores against plain loops without a cache, one at a time."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, LogitsProcessor, LogitsProcessorList

from convmodel.generation.options import DECODING_DEFAULTS
from convmodel.models import conversation_model as module
from convmodel.models import text_generation as writing
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.text_generation import write
from convmodel.responders.protocol import Session
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import MakeModel, random_turns
from tests.tokens.templates import TEMPLATES, with_template

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}


def plain_greedy(model: ConversationModel, turns: Sequence[str], persona: Sequence[str], new_tokens: int) -> str:
    """The reply of a few plain lines: no cache, no batch, no mask, the replying speaker's type for every token."""
    laid_out = model.tokenizer(turns, persona=persona, max_length=model.n_positions - new_tokens)
    ids, types = list(laid_out["input_ids"]), list(laid_out["token_type_ids"])
    reply: list[int] = []
    while len(reply) < new_tokens:
        with torch.no_grad():
            logits = model.hf_model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits
        if not reply:  # a reply is never empty
            logits[0, -1, model.tokenizer.sep_token_id] = -float("inf")
        token = int(logits[0, -1].argmax())
        if token == model.tokenizer.sep_token_id:
            break
        reply.append(token)
        ids.append(token)
        types.append(types[-1])
    return model.tokenizer.decode(reply)


# generate


@pytest.mark.parametrize("ending", [0.0, 3.0], ids=["seldom ending", "often ending"])
def test_a_greedy_reply_is_that_of_a_plain_loop_without_a_cache(
    make_model: MakeModel, contexts: list[list[str]], personas: list[list[str]], ending: float
) -> None:
    model = make_model(ending=ending)
    ended = 0
    for context, persona in zip(contexts, personas, strict=True):
        expected = plain_greedy(model, context, persona, 12)
        assert model.generate(context, persona=persona, **GREEDY).responses == [expected]
        ended += len(model.tokenizer.encode(expected)) < 12
    assert (ended > 8) == (ending > 0)


@pytest.mark.parametrize("rows", [1, 3, 5, 32])
@pytest.mark.parametrize("ending", [0.0, 3.0])
def test_greedy_replies_of_a_batch_are_those_of_one_at_a_time_for_every_size_and_order(
    make_model: MakeModel,
    contexts: list[list[str]],
    personas: list[list[str]],
    rows: int,
    ending: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "ROWS_PER_BATCH", rows)
    model = make_model(ending=ending)
    alone = [model.generate(c, persona=p, **GREEDY).responses for c, p in zip(contexts, personas, strict=True)]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(contexts)), len(contexts))
        outputs = model.generate_batch([contexts[n] for n in order], personas=[personas[n] for n in order], **GREEDY)
        assert [output.responses for output in outputs] == [alone[n] for n in order]
        assert [output.context for output in outputs] == [contexts[n] for n in order]


def test_no_contexts_give_no_replies(model: ConversationModel) -> None:
    assert model.generate_batch([]) == []


def test_a_long_conversation_loses_whole_turns_and_reports_how_many(model: ConversationModel) -> None:
    output = model.generate(["Hello there."] * 40, **GREEDY)
    kept = model.tokenizer(["Hello there."] * 40, max_length=64 - 12)
    assert output.turns_dropped == kept.turns_dropped > 0
    assert output.context == ["Hello there."] * 40
    assert model.generate(["Hello there."] * 2, **GREEDY).turns_dropped == 0


def test_a_conversation_of_any_length_gets_a_reply(model: ConversationModel) -> None:
    for turns in (1, 2, 10, 100, 1000):
        assert len(model.generate(["Hello, how are you?"] * turns, min_new_tokens=32).responses) == 1


def test_a_reply_is_as_long_as_allowed_not_cut_at_twenty_tokens(make_model: MakeModel) -> None:
    model = make_model(n_positions=256)
    for options, expected in (({}, 128), ({"max_new_tokens": 50}, 50)):
        seen = counted(model, **options)
        assert seen == expected
    assert counted(make_model(n_positions=64)) == 32  # half of a window that is smaller


def counted(model: ConversationModel, **options: Any) -> int:
    """How many tokens are made when the end of a turn is forbidden."""
    made = 0

    class Forbid(LogitsProcessor):
        def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
            nonlocal made
            made += 1
            scores[:, model.tokenizer.sep_token_id] = -float("inf")
            return scores

    model.generate(["Hello"], do_sample=False, logits_processor=LogitsProcessorList([Forbid()]), **options)
    return made


def test_max_length_counts_context_and_reply_as_in_transformers(model: ConversationModel) -> None:
    assert counted(model, max_length=30) == 30 - len(model.tokenizer(["Hello"])["input_ids"])
    assert counted(model, max_length=10_000) <= 64


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.5},
        {"do_sample": True, "temperature": 0.9, "top_p": 0.8, "num_return_sequences": 4},
        {"do_sample": True, "top_k": 3},
        {"do_sample": True, "min_p": 0.1},
        {"do_sample": False, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
        {"do_sample": False, "min_new_tokens": 5},
        {"do_sample": False, "min_length": 5},
        {"do_sample": False, "stop_strings": ["e"]},
        {"do_sample": False, "max_time": 10.0},
        {"do_sample": False, "use_cache": False},
        {"do_sample": False, "output_scores": True, "return_dict_in_generate": True},
        {"do_sample": False, "eos_token_id": 40},
        {"generation_config": GenerationConfig(do_sample=True, top_k=5, max_new_tokens=4)},
    ],
    ids=lambda options: " ".join(options),
)
def test_options_of_transformers_generate_work(
    model: ConversationModel, contexts: list[list[str]], options: dict[str, Any]
) -> None:
    options = {"max_new_tokens": 8} | options
    outputs = model.generate_batch(contexts[:5], **options)
    assert [len(output.responses) for output in outputs] == [options.get("num_return_sequences", 1)] * 5
    assert not any(model.tokenizer.sep_token in text for output in outputs for text in output.responses)


def test_bad_word_ids_are_not_generated(model: ConversationModel) -> None:
    laid_out = model.tokenizer(["Hello"])
    ids, types = torch.tensor([laid_out["input_ids"]]), torch.tensor([laid_out["token_type_ids"]])
    with torch.no_grad():
        second, first = model.hf_model(ids, token_type_ids=types).logits[0, -1].argsort()[-2:].tolist()
    one = GREEDY | {"max_new_tokens": 1}
    assert model.generate(["Hello"], **one).responses == [model.tokenizer.decode([first])]
    assert model.generate(["Hello"], bad_words_ids=[[first]], **one).responses == [model.tokenizer.decode([second])]


def test_bad_words_are_not_generated_at_any_position(model: ConversationModel) -> None:
    options = GREEDY | {"max_new_tokens": 30}
    said = model.generate(["Hello"], **options).responses[0]
    words = sorted({word for word in said.split() if len(model.tokenizer.encode(word)) == 1}) or [said.strip()[:1]]
    for options["bad_words"] in (words, words[0]):
        assert model.decoding(**options).config.bad_words_ids
        text = model.generate(["Hello"], **options).responses[0]
        assert words[0] not in text.split()
        assert options["bad_words"] == words[0] or not set(words) & set(text.split())
        assert words[0] not in model.generate(["Hello"], num_beams=2, **options).responses[0].split()
    both = model.decoding(bad_words=["you"], bad_words_ids=[[5]]).config.bad_words_ids
    assert both == [[5], model.tokenizer.encode("you"), model.tokenizer.encode(" you")]
    with pytest.raises(ValueError, match=r"bad_words=\[''\]; allowed are a text and a list of texts, none empty"):
        model.generate(["Hello"], bad_words=[""])


def test_the_same_seed_gives_the_same_sample(model: ConversationModel) -> None:
    replies = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        replies.append(model.generate(["Hello"], do_sample=True, temperature=2.0, max_new_tokens=20).responses)
    assert replies[0] == replies[1] != replies[2]


def test_replies_are_sampled_with_the_package_defaults_when_nothing_is_specified(model: ConversationModel) -> None:
    for name, value in DECODING_DEFAULTS.items():
        assert getattr(model.generation_config, name) == value
    model.hf_model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=7)
    other = ConversationModel(model.hf_model, model.tokenizer)
    assert other.generation_config.do_sample is False and other.generation_config.max_new_tokens == 7


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.generate([]), ValueError, "there are no turns"),
        (lambda m: m.generate("Hello"), TypeError, "the turns are the string 'Hello', not a list"),
        (lambda m: m.generate(["Hello", ""]), ValueError, "turn 2 is empty"),
        (lambda m: m.generate(["Hello"], persona="I like rain."), TypeError, "persona sentences are the string"),
        (lambda m: m.generate_batch("Hello"), TypeError, "contexts is the text 'Hello'"),
        (lambda m: m.generate_batch(["Hello"]), TypeError, "the turns are the string 'Hello', not a list"),
        (lambda m: m.generate_batch([["a"]], personas=[[], []]), ValueError, "2 personas for 1 contexts"),
        (lambda m: m.generate(["Hello"], max_new_tokens=0), ValueError, "max_new_tokens"),
        (lambda m: m.generate(["Hello"], max_new_tokens=62), ValueError, "max_new_tokens=62.*allowed are 1 to 61"),
        (lambda m: m.generate(["Hello"], input_ids=1), TypeError, "'input_ids' is made from the context"),
        (lambda m: m.generate(["Hello"], persona=["I like rain. " * 20]), ValueError, "leave no room for a turn"),
        (lambda m: m.score(["Hello"], []), ValueError, "there are no candidates"),
        (lambda m: m.score(["Hello"], ["a", ""]), ValueError, "candidate 2 is empty"),
        (lambda m: m.score(["Hello"], "a"), TypeError, "the candidates are the string 'a', not a list"),
        (lambda m: m.score(["Hello"], ["long " * 80]), ValueError, "leave no room for a turn"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    model: ConversationModel, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(model)


def test_an_option_that_does_not_exist_is_refused(model: ConversationModel) -> None:
    with pytest.raises(ValueError, match="temprature"):
        model.generate(["Hello"], temprature=0.5)


# prepare: the engine gets all turns, whatever fits into the window


@pytest.mark.parametrize("seed", range(10))
def test_requests_contain_every_turn_and_the_turns_of_the_replying_speaker(model: ConversationModel, seed: int) -> None:
    source = random.Random(seed)
    turns = random_turns(source, max_turns=9)
    session, spoken = Session(), model.tokenizer.encode_many(turns)
    if seed % 2:  # a reply that was written in other tokens counts with those
        spoken[-1] = [5, 6, 7]
        session.ids[len(turns) - 1, turns[-1]] = (5, 6, 7)
    how = model.decoding(num_return_sequences=3, do_sample=True)
    prepared = model.prepare(turns, ["I like rain."], how, seed=1, session=session)
    said = [ids for number, ids in enumerate(spoken) if number % 2 == len(turns) % 2]
    for request in prepared.job.requests:
        assert request.history_ids == spoken
        assert sorted(map(list, request.own_turn_ids)) == sorted(said)
    assert len({request.seed for request in prepared.job.requests}) == 3


@pytest.mark.parametrize("size", [1, 2])
def test_no_reply_repeats_an_ngram_of_a_turn_outside_the_window(model: ConversationModel, size: int) -> None:
    plain: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    turns = ["Hello"]
    reply = model.generate(turns, **plain).responses[0]
    long_ago = [reply, *["I play the guitar and the piano."] * 8, "Hello"]
    output = model.generate(long_ago, no_repeat_context_ngram_size=size, **plain)
    assert output.turns_dropped > 0
    how = model.decoding(no_repeat_context_ngram_size=size, **plain)
    [[written]] = write(model.hf_model, model.tokenizer, [model.prepare(long_ago, [], how).job])
    said = model.tokenizer.encode_many(long_ago)
    seen = {tuple(ids[i : i + size]) for ids in said for i in range(len(ids) - size + 1)}
    mine = [written.ids[i : i + size] for i in range(len(written.ids) - size + 1)]
    assert written.text == output.responses[0] and len(mine) > 3
    assert seen.isdisjoint(mine) and len(set(mine)) == len(mine)


# score


def plain_score(model: ConversationModel, turns: Sequence[str], reply: str, persona: Sequence[str]) -> float:
    """The log-likelihood of a reply and its end, from the whole softmax of one sequence."""
    laid_out, ids = model.tokenizer(turns, persona=persona), model.tokenizer.encode(reply)
    kind = laid_out["token_type_ids"][-1]
    whole = [*laid_out["input_ids"], *ids, model.tokenizer.sep_token_id]
    types = [*laid_out["token_type_ids"], *[kind] * len(ids), 1 - kind]
    with torch.no_grad():
        logits = model.hf_model(torch.tensor([whole]), token_type_ids=torch.tensor([types])).logits[0]
    chances = logits.double().log_softmax(-1)
    return sum(float(chances[n - 1, whole[n]]) for n in range(len(laid_out["input_ids"]), len(whole)))


@pytest.mark.parametrize("persona", [[], ["I like the rain."]], ids=["nobody", "persona"])
def test_a_score_is_the_log_likelihood_of_the_reply_and_its_end(
    model: ConversationModel, persona: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_BATCH", 3)
    context, candidates = ["Hello", "Hi"], ["I am fine.", "a", "And you? " * 2, "日本", "a b c", "a"]
    scores = model.score(context, candidates, persona=persona)
    expected = [plain_score(model, context, candidate, persona) for candidate in candidates]
    assert scores.summed == pytest.approx(expected, abs=1e-4)
    assert scores.candidates == candidates
    assert scores.num_tokens == [len(model.tokenizer.encode(c)) + 1 for c in candidates]
    assert scores.per_token == pytest.approx(
        [s / n for s, n in zip(expected, scores.num_tokens, strict=True)], abs=1e-4
    )


def test_all_candidates_are_scored_after_the_same_context(model: ConversationModel) -> None:
    """The longest candidate decides how many turns all of them see: otherwise scores could not be compared."""
    context, short, long = ["Hello there."] * 20, "Hi", "I like the rain. " * 3
    alone = model.score(context, [short]).summed[0]
    together = model.score(context, [short, long]).summed[0]
    kept = 20
    while len(model.tokenizer(context[:kept])["input_ids"]) + len(model.tokenizer.encode(long)) + 1 > 64:
        kept -= 1
    assert together == pytest.approx(plain_score(model, context[-kept:], short, []), abs=1e-4)
    assert alone != pytest.approx(together, abs=1e-4)


def test_a_gold_reply_scores_higher_after_training_on_it(model: ConversationModel) -> None:
    before = model.score(["Hello"], ["I am fine.", "No music."]).per_token
    laid_out = model.tokenizer(["Hello", "I am fine."])
    ids, types = torch.tensor([laid_out["input_ids"]]), torch.tensor([laid_out["token_type_ids"]])
    optimizer = torch.optim.AdamW(model.hf_model.parameters(), lr=0.01)
    for _ in range(20):
        model.hf_model(ids, token_type_ids=types, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = model.score(["Hello"], ["I am fine.", "No music."]).per_token
    assert after[0] > before[0] and after[0] > after[1]


# Chat templates


def with_layout(name: str, *, n_positions: int = 200, **options: Any) -> ConversationModel:
    """Return a model with a chat template, whose replies end by themselves at times."""
    tokenizer = ConversationTokenizer(with_template(name))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_positions": n_positions, "n_layer": 2, "n_head": 2, "n_embd": 16}
    config = GPT2Config(vocab_size=len(tokenizer), **sizes, initializer_range=0.5, bos_token_id=7, eos_token_id=8)
    return ConversationModel(GPT2LMHeadModel(config).eval(), tokenizer, **options)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_greedy_reply_by_a_chat_template_is_that_of_transformers(name: str) -> None:
    model = with_layout(name)
    tokenizer = model.hf_tokenizer
    talk = [
        {"role": role, "content": text} for role, text in (("user", "Hello"), ("assistant", "rain"), ("user", "you"))
    ]
    inputs: Any = tokenizer.apply_chat_template(talk, add_generation_prompt=True, enable_thinking=False)
    ids = torch.tensor([inputs["input_ids"]])
    ends = [*model.tokenizer.end_token_ids, 8]
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12, "min_new_tokens": 1, "pad_token_id": 0}
    expected = cast(Any, model.hf_model).generate(ids, **options, eos_token_id=ends)[0, ids.shape[1] :].tolist()
    text = tokenizer.decode(expected, skip_special_tokens=True)
    assert model.generate(["Hello", "rain", "you"], do_sample=False, max_new_tokens=12).responses == [text]
    config = model.hf_model.config
    assert (config.bos_token_id, config.eos_token_id) == (7, 8) and set(ends) <= set(
        cast(list[int], model.generation_config.eos_token_id)
    )


@pytest.mark.parametrize("name", ["chatml", "mistral", "qwen 3", "no end"])
def test_a_candidate_is_scored_as_the_assistants_text_with_its_end(name: str) -> None:
    model = with_layout(name)
    scores = model.score(["Hello", "rain", "you"], ["piano", "I like rain"], persona=["the piano"])
    for candidate, summed, count in zip(scores.candidates, scores.summed, scores.num_tokens, strict=True):
        context = model.tokenizer(["Hello", "rain", "you"], persona=["the piano"])["input_ids"]
        reply = [*model.tokenizer.encode(candidate), model.tokenizer.end_token_ids[0]]
        logits = model.hf_model(torch.tensor([context + reply])).logits[0, len(context) - 1 : -1].double()
        expected = logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
        assert summed == pytest.approx(float(expected.detach()), abs=1e-3) and count == len(reply)


def test_a_saved_model_keeps_its_layout_and_the_template_of_its_tokenizer(tmp_path: Path) -> None:
    choices: list[dict[str, Any]] = [{}, {"layout": "separators", "token_types": False}, {"layout": "separators"}]
    for number, options in enumerate(choices):
        model = with_layout("chatml", **options)
        model.save_pretrained(tmp_path / f"{number}")
        again = ConversationModel.from_pretrained(tmp_path / f"{number}", device="cpu", dtype="float32")
        assert again.tokenizer(["Hello", "you"]) == model.tokenizer(["Hello", "you"])
        saved = json.loads((tmp_path / f"{number}" / "conversation.json").read_text())
        assert saved["layout"] == (options or {"layout": "chat_template"})["layout"]
        assert ("token_type_ids" in again.tokenizer(["Hello"])) == (options == {"layout": "separators"})
        card = (tmp_path / f"{number}" / "README.md").read_text()
        assert ("The tokenizer's chat template" in card) == (not options)
        assert (
            again.generate(["Hello"], do_sample=False).responses == model.generate(["Hello"], do_sample=False).responses
        )


def test_a_folder_of_separators_without_conversation_json_keeps_them(model: ConversationModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "conversation.json").unlink()
    again = ConversationModel.from_pretrained(tmp_path / "model", device="cpu")
    assert again.tokenizer(["Hello", "you"]) == model.tokenizer(["Hello", "you"])


def test_a_folder_with_another_conversation_json_is_refused(model: ConversationModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "conversation.json").write_text('{"version": 9}')
    with pytest.raises(ValueError, match=r"conversation\.json: contains .*save the model again"):
        ConversationModel.from_pretrained(tmp_path / "model")


# Named speakers


def test_a_reply_in_a_group_is_that_of_a_plain_loop_behind_the_name(model: ConversationModel) -> None:
    turns = ["Hello", "Hi", "I like rain", "And you?"]
    names = ["Ida", "Tom", "Ida", "Eve"]
    output = model.generate(turns, speakers=names, speaker="Tom", **GREEDY)
    assert output.context == ["Ida: Hello", "Hi", "Ida: I like rain\nEve: And you?"]
    sep = model.tokenizer.sep_token_id
    ids, types = lay_out_group(model)
    reply: list[int] = []
    while len(reply) < 12:
        with torch.no_grad():
            logits = model.hf_model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0, -1]
        if not reply:
            logits[sep] = -float("inf")
        if (token := int(logits.argmax())) == sep:
            break
        reply.append(token)
        ids.append(token)
        types.append(types[-1])
    assert output.responses == [model.tokenizer.decode(reply).lstrip()]
    two = model.generate(turns, speakers=["Ida", "Tom", "Ida", "Ida"], **GREEDY)
    assert two.context == ["Hello", "Hi", "I like rain\nAnd you?"]
    assert two.responses == model.generate(two.context, **GREEDY).responses


def lay_out_group(model: ConversationModel) -> tuple[list[int], list[int]]:
    """Return ids and types of the group of these tests, up to the name before the reply."""
    encode = model.tokenizer.encode
    sides = [["Ida:", " Hello"], ["Tom:", " Hi"], ["Ida:", " I like rain", "\nEve:", " And you?"], ["Tom:"]]
    ids: list[int] = []
    types: list[int] = []
    for number, side in enumerate(sides):
        ids += [model.tokenizer.sep_token_id, *(i for piece in side for i in encode(piece))]
        types += [number % 2] * (len(ids) - len(types))
    return ids, types


def test_the_score_of_a_reply_in_a_group_is_its_likelihood_behind_the_name(model: ConversationModel) -> None:
    turns = ["Hello", "Hi", "I like rain", "And you?"]
    ids, types = lay_out_group(model)
    reply = [*model.tokenizer.encode(" you too"), model.tokenizer.sep_token_id]
    row = torch.tensor([[*ids, *reply]])
    with torch.no_grad():
        logits = model.hf_model(row, token_type_ids=torch.tensor([[*types, *[types[-1]] * len(reply)]])).logits
    expected = logits[0, len(ids) - 1 : -1].log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
    scores = model.score(turns, ["you too"], speakers=["Ida", "Tom", "Ida", "Eve"], speaker="Tom")
    assert scores.summed == pytest.approx([float(expected)], abs=1e-4) and scores.num_tokens == [len(reply)]


def test_a_model_of_several_speakers_replies_as_a_plain_loop_with_their_types_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = ConversationTokenizer.learn(["Hello rain"], 280, max_speakers=3)
    sep = tokenizer.sep_token_id
    sizes: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": len(tokenizer)}
    network = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=sep, eos_token_id=sep, initializer_range=0.3))
    ConversationModel(network, tokenizer, max_speakers=3).save_pretrained(tmp_path / "group")
    group = ConversationModel.from_pretrained(tmp_path / "group", device="cpu")
    turns = ["Hello", "Hi", "I like rain", "And you?"]
    names = ["Ida", "Tom", "Eve", "Eve"]
    for name, number in (("Tom", 1), ("Eve", 2), ("Ada", 2)):
        ids, types = [sep], [0]
        for text, type_id in zip(turns, [0, 1, 2, 2], strict=True):
            types[-1] = type_id
            encoded = group.tokenizer.encode(text)
            ids += [*encoded, sep]
            types += [type_id] * (len(encoded) + 1)
        types[-1] = number
        reply: list[int] = []
        while len(reply) < 12:
            with torch.no_grad():
                logits = group.hf_model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0, -1]
            if not reply:
                logits[sep] = -float("inf")
            if (token := int(logits.argmax())) == sep:
                break
            reply.append(token)
            ids.append(token)
            types.append(number)
        output = group.generate(turns, speakers=names, speaker=name, **GREEDY)
        assert output.responses == [group.tokenizer.decode(reply)] and output.context == turns


def test_a_batch_names_the_speakers_of_each_context_or_of_none(model: ConversationModel) -> None:
    turns = ["Hello", "Hi", "I like rain"]
    names = ["Ida", "Tom", "Eve"]
    outputs = model.generate_batch([turns, turns], speakers=[names, None], speaker=["Tom", None], **GREEDY)
    alone = [model.generate(turns, speakers=names, speaker="Tom", **GREEDY), model.generate(turns, **GREEDY)]
    assert outputs == alone
    with pytest.raises(ValueError, match="speakers"):
        model.generate_batch([turns, turns], speakers=[names], **GREEDY)


@pytest.mark.parametrize(
    ("speakers", "speaker", "message"),
    [
        (None, "Ida", r"speaker='Ida' without speakers; give speakers="),
        (["Ida", "Tom"], None, "there are 2 speakers for 3 turns; give one name for each turn"),
        (
            ["Ida", "Tom", "Eve"],
            None,
            "speaker is missing, and the speakers are Ida, Tom, Eve; give the one who replies",
        ),
        (["Ida", "Tom", "Eve"], "Eve", "speaker='Eve' spoke the last turn; give another who replies"),
        (["Ida", "", "Eve"], "Tom", "speaker 2 is empty"),
        (["Ida", "Tom\nEve", "Eve"], "Tom", "give a name of one line"),
    ],
)
def test_names_that_do_not_say_who_replies_are_refused(
    model: ConversationModel, speakers: list[str] | None, speaker: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(["Hello", "Hi", "rain"], speakers=speakers, speaker=speaker)
