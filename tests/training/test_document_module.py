"""Training of document models: exported files, limits, results, errors and resuming."""

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
from tests.training.test_language_module import SIZES, gradients_of_one_step
from tests.training.test_processes import STILL
from tests.training.test_run_description import description
from tests.training.test_samples import samples
from tests.training.test_sequence_unlikelihood import SEQUENCE_OPTIONS, repetition_before_and_after

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::lightning_fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec.*"
    ),
]


@pytest.fixture
def documents(workshop: Workshop) -> dict[str, Any]:
    """Return the options for training on documents; the workshop's files contain documents."""
    return workshop.fill_with_documents()


def exported(workshop: Workshop, run: str = "run") -> DocumentModel:
    return DocumentModel.from_pretrained(workshop.folder / run / "model", dtype="float32")


def limits(workshop: Workshop, run: str = "run") -> tuple[int, int | None]:
    config = json.loads((workshop.folder / run / "model" / "document.json").read_text(encoding="utf-8"))
    return config["max_meta_length"], config["max_body_length"]


# Exported files


def test_a_run_exports_a_model_and_writes_samples(workshop: Workshop, documents: dict[str, Any]) -> None:
    workshop.train(trainer__max_epochs=2, **documents)
    model = exported(workshop)
    lines = samples(workshop)
    assert [line["epoch"] for line in lines] == [0] * 4 + [1] * 4
    valid = list(read_documents(workshop.folder / "valid.jsonl"))[:3]
    for line, document in zip(lines[4:7], valid, strict=True):
        assert document.body.startswith(line["prompt"]) and 0 < len(line["prompt"]) <= 48
        assert line["meta"] == (None if document.meta is None else list(cast(tuple[str, ...], document.meta)))
    assert (lines[7]["prompt"], lines[7]["meta"]) == ("", None)
    for line in lines[4:]:
        assert line["options"] == {"do_sample": False, "max_new_tokens": 32}  # half of the window
        assert model.generate(line["prompt"], meta=line["meta"], **line["options"]).texts == line["texts"]
    run = description(workshop.folder / "run")
    assert run["model"]["class"] == "convmodel.training.DocumentModule"
    assert "train.jsonl: JSON Lines, 14 documents" in run["data"]["train"] and run["state"] == "finished"
    card = (workshop.folder / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "A model that writes documents" in card and "validation loss (nats per predicted token)" in card
    assert "> (no meta)" in card


def test_the_exported_folder_loads_with_transformers(workshop: Workshop, documents: dict[str, Any]) -> None:
    workshop.train(trainer__max_steps=2, trainer__limit_val_batches=0, **documents)
    folder = workshop.folder / "run" / "model"
    model = exported(workshop)
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template is None
    ids = model.tokenizer("Once", meta="Cats")["input_ids"]
    with torch.no_grad():
        assert torch.equal(network(torch.tensor([ids])).logits, model.hf_model(torch.tensor([ids])).logits)
    with pytest.raises(ValueError, match="document"):
        ConversationModel.from_pretrained(folder)


def test_prompts_of_samples_can_be_given(workshop: Workshop, documents: dict[str, Any]) -> None:
    prompts = [{"prompt": "One winter", "meta": {"kind": "fable"}}, {"meta": ["cats", "animals"]}, {"prompt": ""}]
    log = workshop.train(samples__prompts=prompts, trainer__max_steps=2, trainer__val_check_interval=2, **documents)
    assert "model: GPT-2" in log
    assert [(line["prompt"], line["meta"]) for line in samples(workshop)] == [
        ("One winter", {"kind": "fable"}),
        ("", ["cats", "animals"]),
        ("", None),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_invalid_options_are_an_error_before_training(
    workshop: Workshop,
    documents: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    message: str,
) -> None:
    assert message in error_of(capsys, *workshop.arguments(**documents | options))
    assert not list(workshop.folder.rglob("last.ckpt"))


def test_the_printed_config_has_comments_and_can_be_run(
    workshop: Workshop, documents: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*workshop.arguments(**documents)[1:], "--print_config=all"])
    printed = capsys.readouterr().out
    for comment in (
        "# Peak learning rate. If null, it depends on the model.",
        "# Probability that a window is read without its meta in training",
        "# Maximum number of tokens of a document's meta",
        "# Prompts and metas for a document model",
    ):
        assert comment in printed
    config = workshop.folder / "config.yaml"
    config.write_text(printed, encoding="utf-8")
    main(["--config", str(config), "--trainer.max_steps=1"])
    assert (workshop.folder / "run" / "model" / "document.json").is_file()


def test_the_example_config_trains_a_document_model(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(ROOT), pytest.raises(SystemExit):
        main(["--config", "examples/documents.yaml", "--print_config"])
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["model"]["class_path"] == "convmodel.training.DocumentModule"
    assert all((ROOT / values["data"]["init_args"][f"{name}_file"]).is_file() for name in ("train", "valid", "test"))
    metas = [prompt["meta"] for prompt in values["samples"]["prompts"] if "meta" in prompt]
    kinds = {meta if isinstance(meta, str) else meta[-1] for meta in metas}
    assert kinds == {"animals", "recipes", "weather", "fables"}


# Limits


def test_the_limits_of_the_data_are_saved_with_the_model(workshop: Workshop, documents: dict[str, Any]) -> None:
    given: dict[str, Any] = {"data__max_meta_length": 5, "data__max_body_length": 30}
    workshop.train(trainer__max_steps=2, **documents, **given)
    assert limits(workshop) == (5, 30)
    workshop.train(trainer__max_steps=4, ckpt_path="last", **documents)  # they are in the checkpoint
    assert limits(workshop) == (5, 30)
    file = newest_checkpoint(workshop.folder / "run")
    model = DocumentModule.load_from_checkpoint(file, map_location="cpu").language_model()
    assert (model.max_meta_length, model.max_body_length) == (5, 30)


def test_fine_tuning_keeps_the_limits_of_the_base_model_by_default(
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
    conversations = {f"data__{name}_file": ROOT / "examples/data" / f"{name}.jsonl" for name in ("train", "valid")}
    refused: dict[str, Any] = {"model__pretrained_model_name_or_path": workshop.folder / "base" / "model"}
    refused |= {"data__on_error": "skip", **conversations}
    assert "writes documents, not one that replies" in error_of(capsys, *workshop.arguments(run="replies", **refused))


# Testing


def test_the_printed_results_are_those_of_the_exported_model(
    workshop: Workshop, documents: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The oracle is the model's `score`, which processes each document alone."""
    workshop.train(**documents)
    results = table_of(capsys, workshop, ckpt_path="last", **documents)
    folder = workshop.folder / "run" / "model"
    assert results == table_of(capsys, workshop, model__pretrained_model_name_or_path=folder, **documents)
    tests = list(read_documents(workshop.folder / "test.jsonl"))
    scores = exported(workshop).score([d.body for d in tests], metas=[d.meta for d in tests], overlap=8)
    nats = sum(scores.nats)
    tokens = sum(scores.tokens)
    words, bytes_ = (sum(len(part) for part in parts) for parts in zip(*map(_parts, tests), strict=True))
    expected = {
        "documents": 6,
        "predicted tokens": tokens,
        "loss (nats per token)": nats / tokens,
        "perplexity per token": math.exp(nats / tokens),
        "perplexity per word": math.exp(nats / words),
        "perplexity per byte": math.exp(nats / bytes_),
        "bits per byte": nats / bytes_ / math.log(2),
    }
    assert list(results) == list(expected)
    for name, value in results.items():
        assert float(value.replace(",", "")) == pytest.approx(expected[name], rel=1e-3), name


def _parts(document: Document) -> tuple[list[str], bytes]:
    return document.body.split(), document.body.encode()


# Resuming


def test_a_run_killed_within_an_epoch_resumes_with_equal_weights(workshop: Workshop, documents: dict[str, Any]) -> None:
    given = documents | {"trainer__max_epochs": 2, "checkpoint__every_n_steps": 5, "data__ignore_meta_prob": 0.5}
    workshop.train(run="whole", **given)
    steps = workshop.checkpoint("whole")["global_step"]
    kill_at = (steps // 2 + steps // 4) // 5 * 5 + 3
    assert steps // 2 < kill_at - 3 < steps
    killed = workshop.run_fork(run="cut", trainer__callbacks=callback("KillAt", step=kill_at), **given)
    assert killed.status == -signal.SIGKILL, killed.text
    assert workshop.checkpoint("cut")["global_step"] == kill_at - 3
    workshop.train(run="cut", ckpt_path="last", **given)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    assert difference(*(exported(workshop, run).hf_model.state_dict() for run in ("cut", "whole"))) == 0


def test_ctrl_c_saves_a_checkpoint_from_which_the_run_can_resume(workshop: Workshop, documents: dict[str, Any]) -> None:
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
        {**SEQUENCE_OPTIONS, "trainer__precision": "32-true"},
    ],
    ids=["in cycles, accumulating", "bf16", "unlearning"],
)
def test_a_resumed_run_has_equal_weights(
    workshop: Workshop, documents: dict[str, Any], options: dict[str, Any]
) -> None:
    given = documents | options | {"trainer__max_epochs": 10}
    workshop.train(run="whole", trainer__max_steps=8, **given)
    stop = callback("InterruptAt", step=4)  # the learning rate schedule stays that of the uninterrupted run
    with pytest.raises(SystemExit):
        workshop.train(run="cut", trainer__max_steps=8, trainer__callbacks=stop, **given)
    assert workshop.checkpoint("cut")["global_step"] < 8
    workshop.train(run="cut", trainer__max_steps=8, ckpt_path="last", **given)
    assert workshop.checkpoint("cut")["global_step"] == 8
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_read_each_document_once_and_learn_as_one_does(
    workshop: Workshop, documents: dict[str, Any]
) -> None:
    spy = callback("WhatWasRead", folder=str(workshop.folder))
    given = documents | STILL | {"trainer__callbacks": spy}
    result = workshop.run_two(**given)
    assert result.status == 0, result.text
    files = [workshop.folder / f"rank-{rank}.jsonl" for rank in range(2)]
    rows_by_rank = [Counter(file.read_text(encoding="utf-8").splitlines()) for file in files]
    workshop.train(run="one", trainer__accumulate_grad_batches=2, **given)
    rows_of_one = Counter(files[0].read_text(encoding="utf-8").splitlines()) - rows_by_rank[0]
    assert rows_by_rank[0] + rows_by_rank[1] == rows_of_one and all(rows_by_rank)
    assert difference(workshop.weights("two"), workshop.weights("one")) < 1e-4
    assert limits(workshop, "two") == limits(workshop, "one") == (16, None)
    losses = {run: workshop.checkpoint(run)["callbacks"]["BestExport"]["best"] for run in ("two", "one")}
    assert losses["two"] == pytest.approx(losses["one"], abs=1e-5)


# Gradients

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
def test_the_gradients_of_a_step_are_those_of_the_formula_over_bodies(
    tokenizer: DocumentTokenizer, alpha: float
) -> None:
    gradients = gradients_of_one_step(module_of(tokenizer, unlikelihood_alpha=alpha), [batch_of(tokenizer, PAIRS)])
    network = module_of(tokenizer).language_model().hf_model.double()
    sep = tokenizer.sep_token_id
    loss_sum = torch.zeros((), dtype=torch.float64)
    tokens = 0
    for body, meta in PAIRS:
        prefix = [sep, *tokenizer.encode(meta), sep]
        predicted = [*tokenizer.encode(body), sep]
        probabilities = network(torch.tensor([prefix + predicted])).logits[0].softmax(1)
        for position, target in enumerate(predicted):
            step = probabilities[len(prefix) + position - 1]
            seen = set(predicted[:position]) - {target}
            loss_sum = loss_sum - step[target].log() - alpha * sum((1 - step[other]).log() for other in seen)
        tokens += len(predicted)
    (loss_sum / tokens).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(gradients[f"hf_model.{name}"], parameter.grad, rtol=1e-6, atol=1e-6)


def test_steps_on_continuations_reduce_the_repetition_of_a_looping_model(tokenizer: DocumentTokenizer) -> None:
    batch = batch_of(tokenizer, [("and you " * 24, "fine")])
    before, after = repetition_before_and_after(module_of(tokenizer, learning_rate=0.01, optimizer="adamw"), batch)
    assert before > 0.8 and after < before / 2


def test_a_model_writes_according_to_the_meta_and_without_one(workshop: Workshop, documents: dict[str, Any]) -> None:
    kinds = {"cats": "A cat sleeps all day.", "soup": "Boil the onions."}
    source = random.Random(0)
    documents_of_kinds = [Document(kinds[kind], [kind, "texts"]) for kind in source.choices(list(kinds), k=60)]
    write_documents(documents_of_kinds, workshop.folder / "train.jsonl")
    options = {"data__valid_file": None, "model__learning_rate": 0.01, "model__from_scratch__n_embd": 32, **STILL}
    options["model__optimizer"] = "adamw"
    workshop.train(trainer__max_epochs=25, data__ignore_meta_prob=0.5, **options, **documents)
    model = exported(workshop)
    for kind, body in kinds.items():
        assert model.generate(meta=[kind, "texts"], do_sample=False).texts == [body]
    outputs = model.generate_batch([""] * 20, seeds=range(20), do_sample=True, top_p=1.0, top_k=0, temperature=1.0)
    counts = Counter(output.texts[0] for output in outputs)
    assert sum(counts[body] for body in kinds.values()) >= 14 and min(counts[body] for body in kinds.values()) >= 3


def test_default_limits_need_no_folder_and_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    module = DocumentModule(from_scratch=SIZES)
    assert (module.inputs.max_meta_length, module.inputs.max_body_length) == (16, None)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        _ = DocumentModule(pretrained_model_name_or_path=str(tmp_path / "nowhere")).inputs
