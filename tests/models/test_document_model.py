"""A model of documents against transformers' own GPT-2 that reads the same ids without token types."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.generation.option_checks import check_names
from convmodel.models.card import ModelCard
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.models.text_generation import write
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_layout import lay_out_document
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS
from tests.models.documents import FAMILIES, RUSSIAN, make, network

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 1.3, "top_k": 0, "top_p": 0.98, "max_new_tokens": 12}
PROMPTS = ["", "Hello", "Where do you live?", " by the sea", "I like the rain. It rains"]
METAS = [None, "Cats", ["cats", "dogs"], {"author": "Ann", "year": 1999}, "Where"]


@pytest.fixture(scope="module")
def tokenizer() -> DocumentTokenizer:
    return DocumentTokenizer.learn(TEXTS * 3, 320)


@pytest.fixture(scope="module")
def model(tokenizer: DocumentTokenizer) -> DocumentModel:
    """64 positions; one text in a few ends by itself."""
    return make(tokenizer, ending=1.5)


def by_transformers(model: DocumentModel, prompt: str, meta: Any, **options: Any) -> list[list[int]]:
    """What transformers' generate writes, alone, without the end."""
    ids = torch.tensor([model.tokenizer(prompt, meta=meta, max_meta_length=model.max_meta_length)["input_ids"]])
    sep = model.tokenizer.sep_token_id
    ends: dict[str, Any] = {"eos_token_id": sep, "pad_token_id": sep, "min_new_tokens": 1}
    generate = cast(Any, model.hf_model).generate
    result = generate(ids, attention_mask=torch.ones_like(ids), **ends, **options)[:, ids.shape[1] :].tolist()
    return [row[: row.index(sep)] if sep in row else row for row in result]


def greedy(model: DocumentModel, ids: Sequence[int], limit: int, without: Sequence[int] = ()) -> list[int]:
    """A plain loop of whole passes, nothing cached, at least one token."""
    ids, result, sep = list(ids), list[int](), model.tokenizer.sep_token_id
    while len(result) < limit:
        with torch.no_grad():
            logits = model.hf_model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        logits[list(without)] = -torch.inf
        if not result:
            logits[sep] = -torch.inf
        token = int(logits.argmax())
        if token == sep:
            break
        result.append(token)
        ids.append(token)
    return result


# Against transformers


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_greedy_text_is_that_of_a_plain_loop_and_of_transformers(model: DocumentModel, prompt: str) -> None:
    for meta in METAS:
        ids = model.tokenizer(prompt, meta=meta, max_meta_length=16)["input_ids"]
        expected = greedy(model, ids, 12)
        assert [expected] == by_transformers(model, prompt, meta, do_sample=False, max_new_tokens=12)
        result = model.generate(prompt, meta=meta, **GREEDY)
        assert result.texts == [model.tokenizer.decode(expected)] and result.tokens == [len(expected)]
        assert result.finishes == ["length" if len(expected) == 12 else "end"]
        assert (result.tokens_read, result.tokens_dropped, result.seed) == (len(ids), 0, None)
        assert result.documents == [prompt + result.texts[0]]


@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 3}, {"repetition_penalty": 1.4}, {"num_beams": 2, "num_return_sequences": 2}], ids=str
)
def test_options_do_what_they_do_in_transformers_alone_and_in_a_batch(
    model: DocumentModel, options: dict[str, Any]
) -> None:
    result = model.generate_batch(PROMPTS, metas=METAS, **GREEDY, **options)
    for prompt, meta, output in zip(PROMPTS, METAS, result, strict=True):
        expected = by_transformers(model, prompt, meta, **GREEDY, **options)
        assert output.texts == [model.tokenizer.decode(ids) for ids in expected]


def test_samples_depend_on_their_seed_alone(model: DocumentModel) -> None:
    seeds = [7, 8, 9, 10, 11]
    alone = [
        model.generate(prompt, meta=meta, seed=seed, num_return_sequences=2, **SAMPLED)
        for prompt, meta, seed in zip(PROMPTS, METAS, seeds, strict=True)
    ]
    assert model.generate_batch(PROMPTS, metas=METAS, seeds=seeds, num_return_sequences=2, **SAMPLED) == alone
    assert [output.seed for output in alone] == seeds and all(len(set(output.texts)) == 2 for output in alone)
    other = model.generate_batch(PROMPTS, metas=METAS, seeds=[1] * 5, num_return_sequences=2, **SAMPLED)
    assert [output.texts for output in other] != [output.texts for output in alone]
    torch.manual_seed(3)
    first = model.generate("Hello", **SAMPLED)
    torch.manual_seed(3)
    assert model.generate("Hello", **SAMPLED) == first == model.generate("Hello", seed=first.seed, **SAMPLED)


def test_sampled_frequencies_are_those_of_the_uncached_model(model: DocumentModel) -> None:
    """Two thousand first tokens against the softmax of one plain pass."""
    ids = model.tokenizer("Hello", meta="Cats")["input_ids"]
    with torch.no_grad():
        logits = model.hf_model(torch.tensor([ids])).logits[0, -1]
    logits[model.tokenizer.sep_token_id] = -torch.inf
    options: dict[str, Any] = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 1}
    how = model.decoding(num_return_sequences=2000, **options)
    [written] = write(model.hf_model, model.tokenizer, [model.prepare("Hello", "Cats", how, seed=1).job])
    counts = torch.bincount(torch.tensor([text.ids[0] for text in written]), minlength=len(logits))
    assert 0.5 * (counts / 2000 - logits.softmax(-1)).abs().sum() < 0.12


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_folder_is_loaded_and_writes_as_before_and_in_int8_as_alone(
    model: DocumentModel, tmp_path: Path, dtype: str
) -> None:
    model.save_pretrained(tmp_path / "model")
    loaded = DocumentModel.from_pretrained(tmp_path / "model", device="cpu", dtype=dtype)
    alone = [loaded.generate(p, meta=m, **GREEDY) for p, m in zip(PROMPTS, METAS, strict=True)]
    assert loaded.generate_batch(PROMPTS, metas=METAS, **GREEDY) == alone
    if dtype == "float32":
        assert alone == model.generate_batch(PROMPTS, metas=METAS, **GREEDY)
    else:
        with pytest.raises(ValueError, match="a model in int8 cannot be saved"):
            loaded.save_pretrained(tmp_path / "again")


# Any vocabulary


@pytest.mark.parametrize("family", FAMILIES)
def test_a_russian_model_writes_saves_and_writes_the_same(family: str, tmp_path: Path) -> None:
    (tmp_path / "learned").mkdir()
    model = make(DocumentTokenizer(FAMILIES[family](tmp_path / "learned")), n_positions=96)
    tokenizer, meta = model.tokenizer, {"автор": "Анна"}
    # Of a sentencepiece vocabulary, bytes that are no text may be read otherwise when all are known.
    broken = [i for piece, i in tokenizer.hf_tokenizer.get_vocab().items() if piece.startswith("<0x")]
    options = GREEDY | {"bad_words_ids": [[i] for i in broken] or None}
    model.save_pretrained(tmp_path / "model")
    loaded = DocumentModel.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    for prompt in ["", RUSSIAN[0], "Утром над", "кошка </s> ждала <sep>", "дождь", "Собаки лаяли"]:
        ids = greedy(model, tokenizer(prompt, meta=meta, max_meta_length=24)["input_ids"], 12, broken)
        prompt_ids = tokenizer.encode(prompt)
        whole = tokenizer.decode([*prompt_ids, *ids])
        for each in (model, loaded):
            [text] = each.generate(prompt, meta=meta, **options).texts
            assert tokenizer.decode(prompt_ids) + text == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_a_word_after_the_prompt_keeps_its_space(family: str, tmp_path: Path) -> None:
    """Decoded alone, the first word of a vocabulary that marks beginnings of words would lose it."""
    tokenizer = DocumentTokenizer(FAMILIES[family](tmp_path))
    model = make(tokenizer, n_positions=96)
    words = RUSSIAN[1].split()
    begun, rest = " ".join(words[:3]), "".join(f" {word}" for word in words[3:])
    ids = tokenizer.encode(begun + rest)[len(tokenizer.encode(begun)) :]
    before = len(tokenizer(begun)["input_ids"])
    forced: dict[str, Any] = {"prefix_allowed_tokens_fn": lambda _, read: [ids[len(read) - before]]}
    assert model.generate(begun, do_sample=False, max_new_tokens=len(ids), **forced).documents == [RUSSIAN[1]]


# Windows, lengths, options


def test_a_long_prompt_loses_its_oldest_tokens_and_reports_them_but_keeps_the_meta(model: DocumentModel) -> None:
    prompt, meta = "Where do you live? I live by the sea. " * 8, "Cats, dogs"
    sep, ids = model.tokenizer.sep_token_id, model.tokenizer.encode(prompt)
    meta_ids = model.tokenizer.encode(meta)
    room = 64 - 12 - 2 - len(meta_ids)
    output = model.generate(prompt, meta=meta, **GREEDY)
    assert output.tokens_dropped == len(ids) - room and output.tokens_read == 52
    assert output.texts == [model.tokenizer.decode(greedy(model, [sep, *meta_ids, sep, *ids[-room:]], 12))]
    long = model.generate("Hello", meta="Cats and dogs " * 9, **GREEDY)
    assert long.meta_tokens_dropped == len(model.tokenizer.encode("Cats and dogs " * 9)) - 16


@pytest.mark.parametrize(
    ("positions", "limits", "expected"),
    [
        (64, {}, (16, 23)),
        (2048, {}, (64, 512)),
        (1024, {"max_meta_length": 100}, (100, 461)),
        (64, {"max_meta_length": 50}, (50, 6)),
        (64, {"max_body_length": 20}, (16, 10)),
        (4, {}, (0, 1)),
    ],
)
def test_the_default_length_suits_the_window(
    tokenizer: DocumentTokenizer, positions: int, limits: dict[str, int], expected: tuple[int, int]
) -> None:
    model = make(tokenizer, n_positions=positions, **limits)
    assert (model.max_meta_length, model.generation_config.max_new_tokens) == expected
    if positions < 100:  # whatever meta and prompt are, something is written
        output = model.generate("a" * 200, meta="b" * 200)
        assert 1 <= output.tokens[0] <= expected[1] and output.tokens_read + expected[1] <= positions


@pytest.mark.parametrize("beams", [1, 2])
def test_a_text_may_fill_the_window_and_no_more(model: DocumentModel, beams: int) -> None:
    options: dict[str, Any] = {"do_sample": False, "num_beams": beams, "min_new_tokens": 62}
    output = model.generate(max_new_tokens=62, **options)
    assert (output.tokens, output.finishes, output.tokens_read) == ([62], ["length"], 2)
    meta = model.generate(meta="Cats", max_length=64, do_sample=False, num_beams=beams, min_new_tokens=30)
    assert meta.tokens_read + meta.tokens[0] <= 64


def test_texts_are_no_longer_than_the_bodies_of_the_training(tokenizer: DocumentTokenizer) -> None:
    model = make(tokenizer, max_body_length=20)
    output = model.generate("I live in a small house by the sea. " * 3, meta="Cats", max_new_tokens=8)
    assert output.tokens_read == 2 + len(tokenizer.encode("Cats")) + 12
    with pytest.raises(ValueError, match=r"max_new_tokens=21, but .* allowed are 1 to 20"):
        model.generate(max_new_tokens=21)


def test_stop_strings_bad_words_and_several_texts(model: DocumentModel) -> None:
    whole = model.generate("Hello", **GREEDY).texts[0]
    stop = whole[3:5]
    for beams in ({}, {"num_beams": 1}):
        output = model.generate("Hello", stop_strings=stop, **GREEDY, **beams)
        assert output.texts == [whole[: whole.index(stop)]] and output.finishes == ["stop"]
    word = model.tokenizer.decode(model.tokenizer.encode(whole)[:1])
    assert word and not model.generate("Hello", bad_words=[word], **GREEDY).texts[0].startswith(word)
    assert len(model.generate("Hello", num_return_sequences=3, **SAMPLED).texts) == 3


@pytest.mark.parametrize("size", [1, 2])
def test_no_ngram_of_the_prompt_or_the_text_is_repeated_even_across_their_border(
    model: DocumentModel, size: int
) -> None:
    prompt = "Where do you live?" + model.generate("Where do you live?", **GREEDY).texts[0]
    how = model.decoding(no_repeat_context_ngram_size=size, **GREEDY)
    [[written]] = write(model.hf_model, model.tokenizer, [model.prepare(prompt, None, how).job])
    before = model.tokenizer.encode(prompt)
    whole = [*before, *written.ids]
    seen = {tuple(before[i : i + size]) for i in range(len(before) - size + 1)}
    new = [tuple(whole[i : i + size]) for i in range(len(before) - size + 1, len(whole) - size + 1)]
    assert len(new) > 2 and seen.isdisjoint(new) and len(set(new)) == len(new)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_run_on_the_engine_and_are_reproducible_with_a_seed(model: DocumentModel, name: str) -> None:
    check_names(PRESETS[name])
    assert model.decoding(**PRESETS[name]).uses_engine
    first = model.generate("Hello", meta="Cats", seed=5, max_new_tokens=10, **PRESETS[name])
    assert first == model.generate("Hello", meta="Cats", seed=5, max_new_tokens=10, **PRESETS[name])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.generate(3), TypeError, "the prompt is the number 3"),
        (lambda m: m.generate(meta=object()), TypeError, "meta"),
        (lambda m: m.generate(seed=-1), ValueError, "seed=-1"),
        (lambda m: m.generate_batch("Hello"), TypeError, "put it in a list, or call generate"),
        (lambda m: m.generate_batch(["a"], metas="Cats"), TypeError, "metas is one meta"),
        (lambda m: m.generate_batch(["a"], metas=[None, None]), ValueError, "2 metas for 1 prompts"),
        (lambda m: m.generate_batch(["a"], seeds=[1, 2]), ValueError, "2 seeds for 1 prompts"),
        (lambda m: m.generate(max_new_tokens=63), ValueError, "allowed are 1 to 62"),
        (lambda m: m.generate("a", max_new_tokens=62), ValueError, "leaves no room for a prompt; ask for fewer"),
        (lambda m: m.generate(meta="Cats", max_new_tokens=62), ValueError, "of 4 tokens; ask for fewer, or a shorter"),
        (lambda m: m.generate(self_repetition_penalty=0.5), ValueError, "a document has none; use no_repeat_context"),
        (lambda m: m.generate(token_type_ids=[0]), TypeError, "'token_type_ids' is made from the context"),
        (lambda m: m.score("Hello"), TypeError, "put it in a list"),
        (lambda m: m.score([""]), ValueError, "body is empty"),
        (lambda m: m.score(["a"], metas=[]), ValueError, "0 metas for 1 bodies"),
        (lambda m: DocumentModel(m.hf_model, m.tokenizer, max_meta_length=61), ValueError, "allowed are 0 to 60"),
        (lambda m: DocumentModel(m.hf_model, m.tokenizer, max_body_length=0), ValueError, "max_body_length=0"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    model: DocumentModel, call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(model)


# Likelihoods


def test_scores_equal_those_of_one_plain_pass_for_texts_that_fit(model: DocumentModel) -> None:
    bodies = ["Hello", "I like the rain.\n", "日本 é"]
    result = model.score(bodies, metas=["Cats", None, {"a": "b"}])
    for n, (body, meta) in enumerate(zip(bodies, ["Cats", "", "a: b"], strict=True)):
        tokenizer = model.tokenizer
        laid_out = lay_out_document(tokenizer.encode(meta), tokenizer.encode(body), tokenizer.sep_token_id)
        with torch.no_grad():
            ids, labels = (torch.tensor(values.tolist())[None] for values in (laid_out.input_ids, laid_out.labels))
            loss = model.hf_model(ids, labels=labels).loss
        assert result.tokens[n] == len(tokenizer.encode(body)) + 1
        assert result.nats[n] == pytest.approx(float(loss) * result.tokens[n], rel=1e-4)
    assert result.words == [1, 4, 2] and result.bytes == [5, 17, 9]
    assert result.perplexity == pytest.approx(math.exp(sum(result.nats) / sum(result.tokens)))


def test_each_token_of_a_long_body_is_predicted_once_with_the_overlap_as_context(model: DocumentModel) -> None:
    body = "Where do you live? I live in a small house by the sea. " * 4
    tokenizer, sep = model.tokenizer, model.tokenizer.sep_token_id
    ids, meta = tokenizer.encode(body), tokenizer.encode("Cats")
    room, overlap, expected, start = 64 - 2 - len(meta), 10, 0.0, 0
    while start <= len(ids):
        first = max(0, start - overlap)
        stop = min(len(ids), first + room)
        ends = len(ids) + 1 - first <= room
        window = [sep, *meta, sep, *ids[first:stop], *[sep] * ends]
        with torch.no_grad():
            chances = model.hf_model(torch.tensor([window])).logits[0].double().log_softmax(-1)
        places = range(2 + len(meta) + start - first, len(window))
        expected -= sum(float(chances[position - 1, window[position]]) for position in places)
        start = len(ids) + 1 if ends else stop
    result = model.score([body], metas=["Cats"], overlap=10)
    assert result.tokens == [len(ids) + 1] and result.nats[0] == pytest.approx(expected, rel=1e-4)


# Folders


def test_a_folder_of_a_document_model_is_recognised(model: DocumentModel, tmp_path: Path) -> None:
    limited = DocumentModel(model.hf_model, model.tokenizer, max_meta_length=9, max_body_length=30)
    limited.save_pretrained(tmp_path / "model")
    limited.save_pretrained(tmp_path / "model")  # which replaces it
    loaded = DocumentModel.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    assert (loaded.max_meta_length, loaded.max_body_length) == (9, 30)
    assert not (tmp_path / "model" / "chat_template.jinja").exists()
    with pytest.raises(ValueError, match=r"writes documents, not one that replies; load it with DocumentModel\."):
        ConversationModel.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"version": 1}', '{"version": 2, "max_meta_length": 1, "max_body_length": null}'),
        '{"version": 1, "max_meta_length": null, "max_body_length": null}',
        '{"version": 1, "max_meta_length": 4, "max_body_length": true}',
    ],
)
def test_an_invalid_document_json_is_refused(model: DocumentModel, tmp_path: Path, text: str) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "document.json").write_text(text)
    with pytest.raises(ValueError, match=r"document\.json"):
        DocumentModel.from_pretrained(tmp_path / "model")


def test_a_plain_gpt2_and_a_conversation_model_load_as_document_models(
    tokenizer: DocumentTokenizer, tmp_path: Path
) -> None:
    talks = ConversationModel(network(tokenizer), ConversationTokenizer(tokenizer.hf_tokenizer))
    setattr(talks.generation_config, "self_repetition_penalty", 0.3)  # noqa: B010 (no field of transformers)
    talks.save_pretrained(tmp_path / "talks")
    model = DocumentModel.from_pretrained(tmp_path / "talks", device="cpu", dtype="float32")
    assert model.max_meta_length == 16 and model.generate("Hello", **GREEDY).texts
    inner = DocumentTokenizer.learn(TEXTS, 300)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(inner), n_positions=32, n_layer=1, n_head=1, n_embd=8)).save_pretrained(
        tmp_path / "plain"
    )
    inner.save_pretrained(tmp_path / "plain")
    plain = DocumentModel.from_pretrained(tmp_path / "plain", device="cpu", dtype="float32")
    assert plain.max_meta_length == 8 and plain.generation_config.max_new_tokens == 11


def test_the_card_describes_a_document_model(model: DocumentModel, tmp_path: Path) -> None:
    card = ModelCard(samples=[(["Cats", "Hello"], ", said the cat.")])
    model.save_pretrained(tmp_path / "model", card=card)
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---")[1])["tags"] == ["convmodel", "gpt2"]
    assert "# A model that writes documents" in text and "DocumentModel.from_pretrained" in text
    assert "`<sep>`, the document's metadata" in text and "token_type_ids` alternate" not in text
