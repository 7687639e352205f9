"""Models that write documents, trained by the one command: what a run leaves, measures, refuses, and goes on from."""

import contextlib
import json
import math
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from convmodel.data.document import Document, read_documents, write_documents
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.tokens.batching import Batch, pad_values
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_layout import lay_out_document
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from convmodel.trainer import main
from convmodel.training.checkpoint import newest_checkpoint
from convmodel.training.document_module import DocumentModule
from tests.training.conftest import ROOT, Workshop, difference
from tests.training.test_checkpoint import callback
from tests.training.test_cli import error_of, table_of
from tests.training.test_language_module import SIZES, after_one_step
from tests.training.test_processes import STILL, TWO
from tests.training.test_run_description import description
from tests.training.test_samples import samples
from tests.training.test_sequence_unlikelihood import OWN, before_and_after_own_texts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
    ),
]


@pytest.fixture
def documents(workshop: Workshop) -> dict[str, Any]:
    """The options that train on documents; the workshop's files hold some."""
    return workshop.fill_with_documents()


def exported(workshop: Workshop, run: str = "run") -> DocumentModel:
    return DocumentModel.from_pretrained(workshop.folder / run / "model", dtype="float32")


def limits(workshop: Workshop, run: str = "run") -> tuple[int, int | None]:
    found = json.loads((workshop.folder / run / "model" / "document.json").read_text(encoding="utf-8"))
    return found["max_meta_length"], found["max_body_length"]


# What a run leaves


def test_a_run_leaves_a_model_that_writes_and_what_it_wrote_on_the_way(
    workshop: Workshop, documents: dict[str, Any]
) -> None:
    workshop.train(trainer__max_epochs=2, **documents)
    model, found = exported(workshop), samples(workshop)
    assert [one["epoch"] for one in found] == [0] * 4 + [1] * 4
    valid = list(read_documents(workshop.folder / "valid.jsonl"))[:3]
    for one, document in zip(found[4:7], valid, strict=True):
        assert document.body.startswith(one["prompt"]) and 0 < len(one["prompt"]) <= 48
        assert one["meta"] == (None if document.meta is None else list(cast(tuple[str, ...], document.meta)))
    assert (found[7]["prompt"], found[7]["meta"]) == ("", None)
    for one in found[4:]:
        assert one["options"] == {"do_sample": False, "max_new_tokens": 32}  # half of the window
        assert model.generate(one["prompt"], meta=one["meta"], **one["options"]).texts == one["texts"]
    told = description(workshop.folder / "run")
    assert told["model"]["class"] == "convmodel.training.DocumentModule"
    assert "train.jsonl: JSON Lines, 14 documents" in told["data"]["train"] and told["state"] == "finished"
    card = (workshop.folder / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "A model that writes documents" in card and "validation loss (nats per predicted token)" in card
    assert "> (no meta)" in card


def test_the_exported_folder_is_an_ordinary_one_of_documents(workshop: Workshop, documents: dict[str, Any]) -> None:
    workshop.train(trainer__max_steps=2, trainer__limit_val_batches=0, **documents)
    folder, mine = workshop.folder / "run" / "model", exported(workshop)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template is None
    ids = mine.tokenizer("Once", meta="Cats")["input_ids"]
    with torch.no_grad():
        assert torch.equal(network(torch.tensor([ids])).logits, mine.hf_model(torch.tensor([ids])).logits)
    with pytest.raises(ValueError, match="document"):
        ConversationModel.from_pretrained(folder)


def test_what_is_to_be_written_may_be_said(workshop: Workshop, documents: dict[str, Any]) -> None:
    asked = [{"prompt": "One winter", "meta": {"kind": "fable"}}, {"meta": ["cats", "animals"]}, {"prompt": ""}]
    said = workshop.train(samples__prompts=asked, trainer__max_steps=2, trainer__val_check_interval=2, **documents)
    assert "model: GPT-2" in said
    assert [(one["prompt"], one["meta"]) for one in samples(workshop)] == [
        ("One winter", {"kind": "fable"}),
        ("", ["cats", "animals"]),
        ("", None),
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"samples__prompts": [{"promt": "a"}]}, "samples.prompts, number 1: ['promt'] is unknown; give prompt, meta"),
        ({"samples__prompts": [{}, {"meta": [[1]]}]}, "samples.prompts, number 2: item 1 of meta is"),
        ({"samples__prompts": [{"prompt": 7}]}, "number 1: the prompt is the number 7; give a string"),
        ({"data__ignore_meta_prob": 2}, "data.ignore_meta_prob=2.0; allowed are 0.0 to 1.0"),
        ({"data__max_meta_length": 61}, "max_meta_length=61"),
        ({"data__overlap": 62}, "overlap=62"),
        ({"data__train_file": ...}, "data.train_file is not given; fit reads its documents"),
        ({"model__train_on": "all"}, "train_on"),
    ],
)
def test_what_cannot_be_done_is_told_before_any_training(
    workshop: Workshop,
    documents: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    complaint: str,
) -> None:
    assert complaint in error_of(capsys, *workshop.arguments(**documents | options))
    assert not list(workshop.folder.rglob("last.ckpt"))


def test_the_printed_config_explains_every_key_and_runs(
    workshop: Workshop, documents: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*workshop.arguments(**documents)[1:], "--print_config"])
    printed = capsys.readouterr().out
    for explanation in (
        "# Peak learning rate. If null, 5e-5 for a pretrained model.",
        "# Probability that a document is read without its meta in training",
        "# Maximum number of tokens of a document's meta",
        "# For a document model, prompts with or without a meta",
    ):
        assert explanation in printed
    config = workshop.folder / "config.yaml"
    config.write_text(printed, encoding="utf-8")
    main(["--config", str(config), "--trainer.max_steps=1"])
    assert (workshop.folder / "run" / "model" / "document.json").is_file()


def test_the_shipped_config_is_of_documents(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(ROOT), pytest.raises(SystemExit):
        main(["--config", "examples/documents.yaml", "--print_config"])
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["model"]["class_path"] == "convmodel.training.DocumentModule"
    assert all((ROOT / values["data"]["init_args"][f"{name}_file"]).is_file() for name in ("train", "valid", "test"))
    metas = [one["meta"] for one in values["samples"]["prompts"] if "meta" in one]
    kinds = {meta if isinstance(meta, str) else meta[-1] for meta in metas}
    assert kinds == {"animals", "recipes", "weather", "fables"}


# Limits


def test_the_limits_of_the_data_are_those_of_the_model_wherever_it_goes(
    workshop: Workshop, documents: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"data__max_meta_length": 5, "data__max_body_length": 30}
    workshop.train(trainer__max_steps=2, **documents, **given)
    assert limits(workshop) == (5, 30)
    workshop.train(trainer__max_steps=4, ckpt_path="last", **documents)  # they stand in the checkpoint
    assert limits(workshop) == (5, 30)
    file = newest_checkpoint(workshop.folder / "run")
    model = DocumentModule.load_from_checkpoint(file, map_location="cpu").language_model()
    assert (model.max_meta_length, model.max_body_length) == (5, 30)


def test_a_document_folder_is_fine_tuned_with_its_limits_unless_others_are_given(
    workshop: Workshop, documents: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"data__max_meta_length": 5, "data__max_body_length": 30}
    workshop.train(run="base", trainer__max_steps=2, **documents, **given)
    base = {"model__pretrained_model_name_or_path": workshop.folder / "base" / "model", **documents}
    workshop.train(run="tuned", trainer__max_steps=2, model__learning_rate=0, **base)
    assert limits(workshop, "tuned") == (5, 30)
    assert difference(*(exported(workshop, run).hf_model.state_dict() for run in ("base", "tuned"))) == 0
    (workshop.folder / "base").rename(workshop.folder / "elsewhere")  # a checkpoint needs no base model
    workshop.train(run="tuned", trainer__max_steps=3, ckpt_path="last", **base)
    assert limits(workshop, "tuned") == (5, 30)
    (workshop.folder / "elsewhere").rename(workshop.folder / "base")
    workshop.train(run="other", trainer__max_steps=2, data__max_meta_length=9, data__max_body_length=1000, **base)
    assert limits(workshop, "other") == (9, 1000)
    refused: dict[str, Any] = {"model__pretrained_model_name_or_path": workshop.folder / "base" / "model"}
    assert "document" in error_of(capsys, *workshop.arguments(run="replies", **refused))


# Measuring


def test_the_table_holds_what_the_exported_model_finds(
    workshop: Workshop, documents: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The oracle is the model's own score, which reads each document by itself."""
    workshop.train(**documents)
    found = table_of(capsys, workshop, ckpt_path="last", **documents)
    folder = workshop.folder / "run" / "model"
    assert found == table_of(capsys, workshop, model__pretrained_model_name_or_path=folder, **documents)
    tests = list(read_documents(workshop.folder / "test.jsonl"))
    scores = exported(workshop).score([d.body for d in tests], metas=[d.meta for d in tests], overlap=8)
    nats, tokens = sum(scores.nats), sum(scores.tokens)
    words, size = (sum(len(part) for part in parts) for parts in zip(*map(_parts, tests), strict=True))
    expected = {
        "documents": 6,
        "predicted tokens": tokens,
        "loss (nats per token)": nats / tokens,
        "perplexity per token": math.exp(nats / tokens),
        "perplexity per word": math.exp(nats / words),
        "perplexity per byte": math.exp(nats / size),
        "bits per byte": nats / size / math.log(2),
    }
    assert list(found) == list(expected)
    for name, value in found.items():
        assert float(value.replace(",", "")) == pytest.approx(expected[name], rel=1e-3), name


def _parts(document: Document) -> tuple[list[str], bytes]:
    return document.body.split(), document.body.encode()


# Going on


def test_a_killed_run_goes_on_in_mid_epoch_as_though_nothing_had_happened(
    workshop: Workshop, documents: dict[str, Any]
) -> None:
    given = documents | {"trainer__max_epochs": 2, "checkpoint__every_n_steps": 5, "data__ignore_meta_prob": 0.5}
    workshop.train(run="whole", **given)
    steps = workshop.checkpoint("whole")["global_step"]
    kill_at = (steps // 2 + steps // 4) // 5 * 5 + 3
    assert steps // 2 < kill_at - 3 < steps
    killed = workshop.run_apart(run="cut", trainer__callbacks=callback("KillAt", step=kill_at), **given)
    assert killed.status == -signal.SIGKILL, killed.text
    assert workshop.checkpoint("cut")["global_step"] == kill_at - 3
    workshop.train(run="cut", ckpt_path="last", **given)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    assert difference(*(exported(workshop, run).hf_model.state_dict() for run in ("cut", "whole"))) == 0


def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on(workshop: Workshop, documents: dict[str, Any]) -> None:
    workshop.train(run="whole", **documents)
    with pytest.raises(SystemExit):
        workshop.train(run="cut", trainer__callbacks=callback("InterruptAt", step=9), **documents)
    assert workshop.checkpoint("cut")["global_step"] == 10
    workshop.train(run="cut", ckpt_path="last", **documents)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"model__cycles": 3, "trainer__accumulate_grad_batches": 2},
        {"trainer__precision": "bf16-mixed", "trainer__val_check_interval": 7},
        {**OWN, "trainer__precision": "32-true"},
    ],
    ids=["in cycles, accumulating", "bf16", "unlearning"],
)
def test_stopping_and_going_on_changes_nothing(
    workshop: Workshop, documents: dict[str, Any], options: dict[str, Any]
) -> None:
    given = documents | options | {"trainer__max_epochs": 10}
    workshop.train(run="whole", trainer__max_steps=8, **given)
    stop = callback("InterruptAt", step=4)  # the curve of the learning rate stays that of the whole run
    with pytest.raises(SystemExit):
        workshop.train(run="cut", trainer__max_steps=8, trainer__callbacks=stop, **given)
    assert workshop.checkpoint("cut")["global_step"] < 8
    workshop.train(run="cut", trainer__max_steps=8, ckpt_path="last", **given)
    assert workshop.checkpoint("cut")["global_step"] == 8
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_read_each_document_once_and_learn_what_one_learns(
    workshop: Workshop, documents: dict[str, Any]
) -> None:
    spy = callback("WhatWasRead", folder=str(workshop.folder))
    given = documents | STILL | {"trainer__callbacks": spy}
    both = workshop.run_apart(run="two", **given, **TWO)
    assert both.status == 0, both.text
    files = [workshop.folder / f"rank-{rank}.jsonl" for rank in range(2)]
    read = [Counter(file.read_text(encoding="utf-8").splitlines()) for file in files]
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **given)
    alone = Counter(files[0].read_text(encoding="utf-8").splitlines()) - read[0]
    assert read[0] + read[1] == alone and all(read)
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4
    assert limits(workshop, "two") == limits(workshop, "one") == (16, None)
    losses = {run: workshop.checkpoint(run)["callbacks"]["BestExport"]["best"] for run in ("two", "one")}
    assert losses["two"] == pytest.approx(losses["one"], abs=1e-5)


# What a step learns

PAIRS = [("you you you and you", "you"), ("I am fine, I am fine", ""), ("fine and fine", "I am you, and fine")]


def module_of(tokenizer: DocumentTokenizer, **options: Any) -> DocumentModule:
    torch.manual_seed(0)
    module = DocumentModule(from_scratch=SIZES, schedule="constant", warmup_steps=0, **options)
    module.tokenizer = tokenizer
    module.configure_model()
    return module


@pytest.fixture(scope="module")
def tokenizer() -> DocumentTokenizer:
    return DocumentTokenizer.learn([text for pair in PAIRS for text in pair] * 3, 300)


def batch_of(tokenizer: DocumentTokenizer, pairs: list[tuple[str, str]]) -> Batch:
    sep = tokenizer.sep_token_id
    rows = [lay_out_document(tokenizer.encode(meta), tokenizer.encode(body), sep) for body, meta in pairs]
    return {
        "input_ids": pad_values([row.input_ids for row in rows], sep),
        "labels": pad_values([row.labels for row in rows], IGNORED),
        "metadata": torch.tensor([row.metadata for row in rows]),
    }


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_a_step_learns_bodies_and_not_their_meta_as_the_formula_says(
    tokenizer: DocumentTokenizer, alpha: float
) -> None:
    found = after_one_step(module_of(tokenizer, unlikelihood_alpha=alpha), [batch_of(tokenizer, PAIRS)])
    network, sep = module_of(tokenizer).language_model().hf_model.double(), tokenizer.sep_token_id
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for body, meta in PAIRS:
        before, after = [sep, *tokenizer.encode(meta), sep], [*tokenizer.encode(body), sep]
        chances = network(torch.tensor([before + after])).logits[0].softmax(1)
        for place, target in enumerate(after):
            here = chances[len(before) + place - 1]
            again = set(after[:place]) - {target}
            total = total - here[target].log() - alpha * sum((1 - here[other]).log() for other in again)
        tokens += len(after)
    (total / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-6)


def test_some_steps_of_own_texts_break_the_loop_of_a_model_that_learned_one(tokenizer: DocumentTokenizer) -> None:
    batch = batch_of(tokenizer, [("and you " * 24, "fine")])
    before, after = before_and_after_own_texts(module_of(tokenizer, learning_rate=0.01), batch)
    assert before > 0.8 and after < before / 2


def test_a_model_writes_what_the_meta_names_and_also_without_one(workshop: Workshop, documents: dict[str, Any]) -> None:
    kinds = {"cats": "A cat sleeps all day.", "soup": "Boil the onions."}
    source = random.Random(0)
    several = [Document(kinds[kind], [kind, "texts"]) for kind in source.choices(list(kinds), k=60)]
    write_documents(several, workshop.folder / "train.jsonl")
    options = {"data__valid_file": None, "model__learning_rate": 0.01, "model__from_scratch__n_embd": 32, **STILL}
    workshop.train(trainer__max_epochs=25, data__ignore_meta_prob=0.5, **options, **documents)
    model = exported(workshop)
    for kind, body in kinds.items():
        assert model.generate(meta=[kind, "texts"], do_sample=False).texts == [body]
    drawn = model.generate_batch([""] * 20, seeds=range(20), do_sample=True, top_p=1.0, top_k=0, temperature=1.0)
    written = Counter(one.texts[0] for one in drawn)
    assert sum(written[body] for body in kinds.values()) >= 14 and min(written[body] for body in kinds.values()) >= 3


def test_what_a_folder_says_is_read_once_and_no_folder_is_needed_for_the_usual_limits(tmp_path: Path) -> None:
    module = DocumentModule(from_scratch=SIZES)
    assert (module.inputs.max_meta_length, module.inputs.max_body_length) == (16, None)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        _ = DocumentModule(pretrained_model_name_or_path=str(tmp_path / "nowhere")).inputs
