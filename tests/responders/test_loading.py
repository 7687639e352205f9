"""Loading from folders and files, with an index that is a fake of the real one."""

from argparse import ArgumentParser
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest

from convmodel.cli import options as cli_options
from convmodel.data.candidates import CandidateText
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.selector import Selector
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid
from convmodel.responders.loading import LoadedModels, load_all, open_responder
from convmodel.responders.protocol import DocumentGenerator
from convmodel.responders.writer import DocumentWriter, Writer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS, MakeModel, MakeSelector
from tests.models.documents import make
from tests.models.selection.models import ReadsTogether
from tests.models.test_conversation_model import with_layout

pytestmark = pytest.mark.machine


@pytest.fixture
def parts(tmp_path: Path, make_model: MakeModel, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_model().save_pretrained(tmp_path / "model")
    make(DocumentTokenizer.learn(TEXTS * 3, 320)).save_pretrained(tmp_path / "writer")
    selector = make_selector()
    selector.save_pretrained(tmp_path / "selector")
    build_index(selector, map(CandidateText, ["Yes", "No"]), tmp_path / "index")
    build_index(make_selector(pooling="last"), map(CandidateText, ["Yes", "No"]), tmp_path / "other")
    (tmp_path / "list.txt").write_text("\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "kind", "ranked_by"),
    [
        ({"model": "model"}, Writer, ""),
        ({"model": "model", "reranker": "likelihood"}, Writer, ""),
        ({"selector": "selector", "candidates": "list.txt"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index", "reranker": "selector"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index", "reranker": "selector/"}, Hybrid, "bi-encoder"),
        ({"model": "model", "selector": "selector", "index": "index"}, Hybrid, "bi-encoder"),
        ({"model": "model", "selector": "selector"}, Hybrid, "bi-encoder"),
        ({"model": "model", "reranker": "./selector"}, Hybrid, "bi-encoder"),
        (
            {"model": "model", "selector": "selector", "candidates": "list.txt", "reranker": "likelihood"},
            Hybrid,
            "likelihood",
        ),
        ({"model": "model", "selector": "selector", "dtype": "int8"}, Hybrid, "bi-encoder"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_the_named_models_reply(parts: Path, given: dict[str, Any], kind: type[Any], ranked_by: str) -> None:
    with open_responder(**given, device="cpu") as responder:
        assert type(responder) is kind
        reply = responder.start(["Hello"], seed=1).result()
    assert reply.text and reply.ranked_by == ranked_by
    if given.keys() == {"selector", "index"}:
        assert reply.text in ("Yes", "No")


def test_an_index_of_another_model_and_one_that_a_cross_encoder_cannot_search_are_refused(
    parts: Path, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="other: was made with another model"):
        open_responder(selector="selector", index="other", device="cpu", dtype="float32")
    reads = ReadsTogether(make_selector())
    monkeypatch.setattr(Selector, "from_pretrained", lambda *_, **__: reads)
    with pytest.raises(ValueError, match="index: a cross-encoder reads context and candidate together and cannot"):
        open_responder(selector="cross", index="index")
    with open_responder(selector="cross", candidates="list.txt") as responder:
        assert responder.start(["Hello"]).result().ranked_by == "cross-encoder"


def test_missing_and_conflicting_arguments_are_rejected() -> None:
    with pytest.raises(ValueError, match="there is nothing that replies; give a model that writes"):
        open_responder()
    with pytest.raises(ValueError, match="there are an index and a file of candidates; give one of them"):
        open_responder(selector="selector", index="index", candidates="list.txt")


# Everything that is served


def opened_by(*arguments: str) -> LoadedModels:
    parser = ArgumentParser()
    cli_options.add_responder_options(parser, preset="none")
    cli_options.add_load_options(parser)
    options = parser.parse_args([*arguments, "--device", "cpu"])
    with cli_options.open_all(options) as opened:
        assert cli_options.title(options)
        if opened.responder is not None:
            assert opened.responder.start(["Hello"]).result().text
        if opened.documents is not None:
            writer: DocumentGenerator = opened.documents
            assert writer.start("Hello", options={"max_new_tokens": 4}).result().texts
    return opened


@pytest.mark.parametrize(
    ("arguments", "responder", "documents"),
    [
        ([], Writer, None),
        (["--model", "model"], Writer, None),
        (["--model", "writer"], None, DocumentWriter),
        (["--documents", "writer"], None, DocumentWriter),
        (["--model", "model", "--documents", "writer"], Writer, DocumentWriter),
        (["--model", "model", "--documents", "gpt2"], Writer, DocumentWriter),
        (["--model", "writer", "--selector", "selector", "--index", "index"], Chooser, DocumentWriter),
        (["--documents", "writer", "--selector", "selector", "--candidates", "list.txt"], Chooser, DocumentWriter),
        (["--model", "model", "--selector", "selector", "--documents", "writer"], Hybrid, DocumentWriter),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_responder_and_a_document_writer_are_loaded_together(
    parts: Path, arguments: list[str], responder: type[Any] | None, documents: type[Any] | None
) -> None:
    copytree(parts / "writer", parts / "gpt2", ignore=ignore_patterns("document.json"))
    opened = opened_by(*arguments)
    assert type(opened.responder) is (responder or type(None))
    assert type(opened.documents) is (documents or type(None))
    if opened.responder is not None:
        with pytest.raises(RuntimeError, match="closed"):
            opened.responder.start(["Hello"])
    if opened.documents is not None:
        with pytest.raises(RuntimeError, match="closed"):
            opened.documents.start("Hello")


@pytest.mark.parametrize(
    ("arguments", "ranks"),
    [
        (["--selector", "selector"], False),
        (["--selector", "selector", "--documents", "writer"], False),
        (["--selector", "selector", "--candidates", "list.txt"], False),
        (["--model", "model", "--selector", "selector", "--reranker", "ranker"], True),
        (["--model", "model", "--reranker", "ranker"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_selectors_embed_and_rank_with_the_models_that_reply(parts: Path, arguments: list[str], ranks: bool) -> None:
    copytree(parts / "selector", parts / "ranker")
    opened = opened_by(*arguments)
    assert (opened.selector is not None) is ("--selector" in arguments) and (opened.reranker is not None) is ranks
    worker = opened.reranker or opened.selector
    assert worker is not None and len(worker.rank("Hello", ["Yes", "No"]).result().values) == 2
    if isinstance(opened.responder, Chooser) and opened.selector is not None:
        assert opened.responder._selector is opened.selector._selector


def test_the_limits_are_passed_to_the_parts(parts: Path) -> None:
    parser = ArgumentParser()
    cli_options.add_responder_options(parser, preset="none")
    cli_options.add_load_options(parser)
    sizes = ["--max-running", "2", "--max-waiting", "3", "--max-kept", "4", "--device", "cpu"]
    chosen = ["--selector", "selector", "--index", "index"]
    options = parser.parse_args(["--model", "model", "--documents", "writer", *chosen, *sizes])
    with cli_options.open_all(options) as opened:
        assert isinstance(opened.responder, Hybrid) and opened.documents is not None
        for writer in (opened.responder._writer, opened.documents):
            assert isinstance(writer, Writer | DocumentWriter)
            engine = writer._thread._engine
            assert writer._thread._max_open is None and engine is not None and len(engine._slots) == 4
        assert isinstance(opened.responder._chooser, Chooser)
        assert opened.responder._chooser._worker._max_waiting is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "writer", "documents": "writer"}, "writer and writer both write documents; give one of them"),
        ({"model": "writer", "reranker": "likelihood"}, "there is nothing that replies"),
        ({"selector": "selector", "reranker": "likelihood"}, "nothing to choose from"),
        ({"documents": "writer", "index": "index"}, "nothing that chooses among them; give a selector"),
        ({}, "there is nothing that replies"),
        ({"model": "model", "documents": "selector"}, "selector"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_together_are_errors(parts: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        load_all(**given, device="cpu")


def test_a_model_with_a_chat_template_may_reason(tmp_path: Path) -> None:
    with_layout("qwen 3").save_pretrained(tmp_path / "qwen")
    parser = ArgumentParser()
    cli_options.add_responder_options(parser)
    ends = []
    for flags in ([], ["--reasoning"]):
        arguments = parser.parse_args(["--model", str(tmp_path / "qwen"), "--device", "cpu", *flags])
        with cli_options.open_responder(arguments) as responder:
            assert isinstance(responder, Writer)
            tokenizer = responder.model.tokenizer
            text = str(tokenizer.hf_tokenizer.decode(tokenizer(["Hello"])["input_ids"]))
            ends.append(text.endswith("</think>\n\n"))
    assert ends == [True, False]


def test_a_model_with_separators_does_not_reason(parts: Path) -> None:
    with pytest.raises(ValueError, match="layout is 'separators', which has no reasoning; leave --reasoning"):
        load_all("model", device="cpu", reasoning=True)
    with pytest.raises(ValueError, match="without a model that writes"):
        open_responder(selector="selector", candidates="list.txt", device="cpu", reasoning=True)


# Adapters


@pytest.mark.filterwarnings("ignore")  # peft uses what transformers will remove
def test_adapters_reply_beside_their_base_and_in_a_hybrid(
    tmp_path: Path, tokenizer: ConversationTokenizer, make_selector: MakeSelector
) -> None:
    pytest.importorskip("peft")
    from tests.models.adapters import save_adapter, save_base

    base = save_base(tmp_path / "base", tokenizer)
    adapters = {name: save_adapter(tmp_path / name, base, seed=seed) for seed, name in enumerate(("a", "b"))}
    greedy: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6, "num_return_sequences": 1}
    folders: list[tuple[str | None, Path]] = [(None, base), *adapters.items()]
    with load_all(base, adapters=adapters, device="cpu") as models:
        assert models.responder is not None and [*models.adapters] == ["a", "b"]
        for name, folder in folders:
            responder = models.responder if name is None else models.adapters[name]
            expected = ConversationModel.from_pretrained(folder).generate(["Hello"], **greedy).responses[0]
            assert responder.start(["Hello"], options=greedy).result().text == expected
    make_selector().save_pretrained(tmp_path / "selector")
    with load_all(base, adapters=adapters, selector=tmp_path / "selector", device="cpu") as models:
        assert all(isinstance(each, Hybrid) for each in (models.responder, *models.adapters.values()))
        assert isinstance(models.responder, Hybrid) and models.responder.context_length == 96
        assert models.adapters["b"].start(["Hello"], options=greedy).result().ranked_by


def test_adapters_need_a_model_that_replies(parts: Path) -> None:
    with pytest.raises(
        ValueError, match=r"there are adapters, but no conversation model for them; give one \(--model\)"
    ):
        load_all("writer", adapters={"a": "a"}, device="cpu")
