"""The writer of documents: pieces that are the text, the same text as `generate`, and an end to everything."""

import threading
from typing import Any

import pytest

from convmodel.errors import QueueFull
from convmodel.models.document_model import PRESETS, DocumentModel
from convmodel.responders.writer import DocumentWriter
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.conftest import TEXTS
from tests.models.documents import make

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
SAMPLED: dict[str, Any] = {"do_sample": True, "temperature": 1.3, "top_k": 0, "max_new_tokens": 12}
LONG: dict[str, Any] = {"do_sample": False, "min_new_tokens": 10_000, "max_new_tokens": 200}
PROMPTS: list[tuple[str, Any]] = [
    ("", None),
    ("Hello", "Cats"),
    ("I live", ["a", "b"]),
    (" by", {"a": 1}),
    ("", "Dogs"),
]


@pytest.fixture(scope="module")
def model() -> DocumentModel:
    """256 positions; one text in a few ends by itself."""
    return make(DocumentTokenizer.learn(TEXTS * 3, 320), n_positions=256, ending=1.5)


@pytest.mark.parametrize("options", [GREEDY, SAMPLED, SAMPLED | {"num_return_sequences": 3}, GREEDY | {"num_beams": 2}])
def test_what_is_written_in_pieces_is_what_generate_writes(model: DocumentModel, options: dict[str, Any]) -> None:
    expected = [model.generate(p, meta=m, seed=n, **options) for n, (p, m) in enumerate(PROMPTS)]
    with DocumentWriter(model, max_running=3) as writer:
        started = [writer.start(p, meta=m, seed=n, options=options) for n, (p, m) in enumerate(PROMPTS)]
        for writing, output in zip(started, expected, strict=True):
            pieces = list(writing)
            assert "".join(pieces) == output.texts[0] and writing.result() == output
            assert 0 <= writing.first_seconds <= writing.seconds
            if options in (GREEDY, SAMPLED) and output.tokens[0] > 8:
                assert len(pieces) > 1


def test_threads_get_the_texts_of_one_thread_and_outputs_have_the_drawn_seeds(model: DocumentModel) -> None:
    wrong: list[Any] = []
    with DocumentWriter(model, options=SAMPLED, max_running=4, max_kept=5) as writer:

        def ask(prompt: str, meta: Any) -> None:
            for _ in range(3):
                output = writer.start(prompt, meta=meta).result()
                if model.generate(prompt, meta=meta, seed=output.seed, **SAMPLED) != output:
                    wrong.append(output)

        threads = [threading.Thread(target=ask, args=prompt) for prompt in PROMPTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_a_cancelled_document_keeps_its_text_and_frees_its_slot(model: DocumentModel) -> None:
    with DocumentWriter(model, max_running=1) as writer:
        writing = writer.start("Hello", options=LONG)
        first = next(iter(writing))
        writing.cancel()
        output = writing.result()
        assert output.finishes == ["cancelled"] and output.texts[0].startswith(first) and output.tokens[0] < 200
        assert writer.start("Hello", options=GREEDY).result() == model.generate("Hello", **GREEDY)


def test_invalid_options_presets_and_requests_are_errors_at_once(model: DocumentModel) -> None:
    with DocumentWriter(model, options={"top_k": 7}) as writer:
        assert writer.options["top_k"] == 7 and writer.presets == PRESETS and writer.model is model
        for options, message in (
            ({"top_p": 2}, "top_p=2; allowed"),
            ({"top_b": 2}, "there is no option 'top_b'"),
            ({"self_repetition_penalty": 1}, "a document has none"),
            ({"num_beams": 2, "no_repeat_context_ngram_size": 3}, "needs greedy decoding or sampling"),
        ):
            with pytest.raises(ValueError, match=message):
                writer.check_options(options)
            with pytest.raises(ValueError, match=message):
                writer.start("Hello", options=options)
        with pytest.raises(TypeError, match="the prompt is a list"):
            writer.start(["Hello"])  # type: ignore[arg-type]


def test_the_queue_is_bounded_and_closing_ends_everything(model: DocumentModel) -> None:
    before = threading.active_count()
    writer = DocumentWriter(model, options=LONG, max_running=1, max_waiting=1)
    taken = []
    with pytest.raises(QueueFull, match="2 requests are open"):
        for _ in range(5):
            taken.append(writer.start("Hello"))
    writer.close()
    writer.close()
    assert len(taken) == 2 and threading.active_count() == before
    with pytest.raises(RuntimeError, match="the writer was closed before the text was written"):
        taken[1].result()
    with pytest.raises(RuntimeError, match="the writer is closed; make a new one"):
        writer.start("Hello")


def test_a_folder_is_opened_with_the_writers_options(model: DocumentModel, tmp_path: Any) -> None:
    model.save_pretrained(tmp_path / "model")
    with DocumentWriter.from_pretrained(tmp_path / "model", device="cpu", dtype="float32", options=GREEDY) as writer:
        assert writer.start("Hello", meta="Cats").result() == model.generate("Hello", meta="Cats", **GREEDY)
