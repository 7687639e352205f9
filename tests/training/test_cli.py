"""The trainer from end to end: its files, messages and errors."""

import contextlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.trainer import main
from tests.training.conftest import ROOT, Workshop, difference
from tests.vocabularies import word_level


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error message of a failing trainer."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main(list(arguments))
    assert exit.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop after a run of one epoch, for tests that only read its model and checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "1")
        workshop = Workshop(tmp_path_factory.mktemp("trained"), [])
        workshop.train()
        yield workshop


@pytest.mark.machine
def test_a_run_exports_a_model_and_writes_samples(workshop: Workshop) -> None:
    workshop.train(trainer__logger="true", trainer__max_epochs=2)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    assert isinstance(model.generate(["Hello"], do_sample=False).responses[0], str)
    run = workshop.folder / "run" / "lightning_logs" / "version_0"
    assert list(run.glob("events.out.tfevents.*"))
    assert (run / "config.yaml").is_file()
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (run / "generated.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["epoch"] for line in lines] == [0, 0, 0, 1, 1, 1]
    assert lines[0]["step"] * 2 == lines[-1]["step"] > 0
    assert lines[0]["options"] == {"do_sample": False, "max_new_tokens": 32}  # half of the window
    contexts = [c.turns for c in read_conversations(workshop.folder / "valid.jsonl")]
    assert lines[1]["context"] == list(contexts[1][: len(lines[1]["context"])])
    assert all(len(line["replies"]) == 1 for line in lines)
    card = (workshop.folder / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "validation loss (nats per predicted token)" in card and "train.jsonl: JSON Lines" in card


@pytest.mark.machine
def test_the_exported_folder_loads_with_transformers(trained: Workshop) -> None:
    folder = trained.folder / "run" / "model"
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = ConversationModel.from_pretrained(folder)
    ids = model.tokenizer(["Hello", "Hi!"])["input_ids"]
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}]
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False) == ids
    with torch.no_grad():
        assert torch.equal(network(torch.tensor([ids])).logits, model.hf_model(torch.tensor([ids])).logits)


@pytest.mark.slow
def test_a_second_run_can_use_the_folder_of_the_first(workshop: Workshop) -> None:
    for version in range(2):
        workshop.train(trainer__logger="true", trainer__max_steps=1)
        assert (workshop.folder / "run" / "lightning_logs" / f"version_{version}" / "config.yaml").is_file()
    for _ in range(2):  # without a logger both runs write to the same folder
        workshop.train(run="other", trainer__max_steps=1)


def test_the_second_run_uses_the_cached_tokens(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.train(trainer__max_steps=1, run="first")

    def fail(*_: Any) -> None:
        raise AssertionError("a text was encoded again")

    monkeypatch.setattr(ConversationTokenizer, "encode_many", fail)
    workshop.train(trainer__max_steps=1, run="second", trainer__limit_val_batches=0)


# The config


def test_the_printed_config_has_comments_and_can_be_run(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*workshop.arguments()[1:], "--print_config"])
    printed = capsys.readouterr().out
    for comment in (
        "# Peak learning rate",
        "# Training conversations",
        "# Folder for the best model",
    ):
        assert comment in printed
    values = yaml.safe_load(printed)
    assert values["model"]["class_path"] == "convmodel.training.ConversationModule"
    assert values["model"]["init_args"]["from_scratch"]["n_embd"] == 16
    config = workshop.folder / "config.yaml"
    config.write_text(printed, encoding="utf-8")
    main(["--config", str(config), "--trainer.max_steps=1"])
    assert (workshop.folder / "run" / "model" / "model.safetensors").is_file()


def test_options_may_be_written_with_dashes(workshop: Workshop) -> None:
    arguments = [name.partition("=") for name in workshop.arguments()[1:]]
    dashed = [f"--{name[2:].replace('_', '-')}{equals}{value}" for name, equals, value in arguments]
    assert f"--data.train-file={workshop.folder / 'train.jsonl'}" in dashed
    main([*dashed, "--trainer.max-steps", "1"])
    assert (workshop.folder / "run" / "model" / "model.safetensors").is_file()


def test_flat_keys_configure_the_default_model_and_data(workshop: Workshop) -> None:
    config = workshop.folder / "config.yaml"
    config.write_text(
        f"data: {{train_file: {workshop.folder}/train.jsonl, cache_dir: {workshop.folder}/cache}}\n"
        "model: {from_scratch: {n_layer: 1, n_head: 2, n_embd: 16, vocab_size: 300}}\n"
        "trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false, logger: false}\n"
    )
    main(["fit", "--config", str(config), "--model.from_scratch.n_embd=8"])
    model = ConversationModel.from_pretrained(workshop.folder / "model")  # the default export_dir
    assert (model.hf_model.config.n_embd, model.hf_model.config.n_layer) == (8, 1)


def test_the_config_of_the_repository_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(ROOT), pytest.raises(SystemExit):
        main(["--config", "config.yaml", "--print_config"])
    values = yaml.safe_load(capsys.readouterr().out)
    assert (ROOT / values["data"]["init_args"]["train_file"]).is_file()
    assert values["export_dir"] == "model"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_llama_from_scratch_is_trained_resumed_and_exported(workshop: Workshop, optimizer: str) -> None:
    options: dict[str, Any] = {"model__from_scratch__model_type": "llama", "model__optimizer": optimizer}
    log = workshop.train(run="whole", trainer__max_steps=6, **options)
    assert "model: Llama, " in log
    workshop.train(run="cut", trainer__max_steps=3, model__schedule="constant", **options)
    workshop.train(run="straight", trainer__max_steps=6, model__schedule="constant", **options)
    workshop.train(run="cut", trainer__max_steps=6, ckpt_path="last")
    assert difference(workshop.weights("cut"), workshop.weights("straight")) == 0
    model = ConversationModel.from_pretrained(workshop.folder / "cut" / "model")
    assert model.hf_model.config.model_type == "llama" and model.n_positions == 64


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_valid(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(ROOT), pytest.raises(SystemExit):
        main(["--config", str(example), "--print_config"])
    values = yaml.safe_load(capsys.readouterr().out)
    assert (ROOT / values["data"]["init_args"]["train_file"]).is_file()
    assert values["export_dir"] in example.read_text(encoding="utf-8")


def test_a_duplicate_key_is_an_error_with_both_lines(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    config = workshop.folder / "config.yaml"
    config.write_text("trainer:\n  max_steps: 1\nexport_dir: a\ntrainer:\n  max_steps: 2\n")
    assert "config.yaml:4: the key 'trainer' is here and in line 1; remove one" in error_of(
        capsys, "--config", str(config)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data__train_file": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"data__train_file": ...}, "data.train_file is not given; fit reads its conversations"),
        ({"data__tokens_per_batch": 0}, "tokens_per_batch=0; it must be at least 1"),
        ({"data__max_length": 65}, "data.max_length=65, but the model reads 64 tokens at most"),
        ({"data__max_length": 2}, "a persona that leaves no room for a turn in 2 tokens"),
        ({"data__on_error": "ignore"}, "ignore"),
        ({"model__train_on": "some"}, "some"),
        ({"data__window_context": 1.5}, "window_context=1.5; allowed are 0.0 to 1.0"),
        ({"model__learning_rat": 1}, "learning_rat"),
        ({"model__cycles": 0}, "model.cycles=0; it must be at least 1"),
        ({"model__unlikelihood_alpha": -1}, "model.unlikelihood_alpha=-1.0; it must be at least 0.0"),
        ({"model__sequence_unlikelihood__share": 2}, "sequence_unlikelihood.share=2.0; allowed are 0.0 to 1.0"),
        ({"model__sequence_unlikelihood__ngram": 0}, "sequence_unlikelihood.ngram=0; it must be at least 1"),
        ({"model__from_scratch__vocab_size": 200}, "vocab_size=200; at least 259 are needed"),
        ({"model__from_scratch__n_head": 3}, "n_head=3 does not divide n_embd=16"),
        ({"model__pretrained_model_name_or_path": "./nowhere"}, "nowhere: no such folder"),
        ({"export_dir": "."}, "which saving a model here would remove"),
        ({"ckpt_path": "last"}, "has a checkpoints/last.ckpt"),
        ({"ckpt_path": "nowhere.ckpt"}, "nowhere.ckpt: no such file"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml: no such config file"),
        ({"checkpoint__every_n_steps": 0}, "checkpoint.every_n_steps=0; it must be at least 1"),
    ],
)
def test_invalid_options_are_an_error_of_one_line(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    assert message in error_of(capsys, *workshop.arguments(**options))


def test_an_invalid_line_is_an_error_with_its_number_or_is_skipped_and_counted(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    train = workshop.folder / "train.jsonl"
    train.write_text('["alone"]\n' + train.read_text(encoding="utf-8"), encoding="utf-8")
    assert "train.jsonl:1: there is only one turn" in error_of(capsys, *workshop.arguments())
    log = workshop.train(data__on_error="skip", trainer__max_steps=1)
    assert "60 conversations; 1 line skipped: first" in log


def test_an_untrained_model_cannot_be_tested(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert "test needs a trained model" in error_of(capsys, *workshop.arguments("test"))


# Precision


@pytest.mark.machine
def test_the_precision_depends_on_hardware_and_is_logged(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for bf16, expected in (("1", "bf16-mixed"), ("0", "32-true")):
        monkeypatch.setenv("CONVMODEL_BF16", bf16)
        log = workshop.train(trainer__max_steps=1)
        assert log.count("precision: ") == 1 and f"precision: {expected}" in log
    assert "precision: " not in workshop.train(trainer__max_steps=1, trainer__precision="64-true")


# Fine-tuning


@pytest.mark.machine
def test_a_pretrained_folder_has_precedence_over_a_model_from_scratch(workshop: Workshop, trained: Workshop) -> None:
    base = trained.folder / "run" / "model"
    log = workshop.train(
        model__pretrained_model_name_or_path=base, model__learning_rate=0, model__from_scratch__n_embd=32
    )
    tuned = workshop.folder / "run" / "model"
    first, second = (ConversationModel.from_pretrained(folder) for folder in (base, tuned))
    assert difference(first.hf_model.state_dict(), second.hf_model.state_dict()) == 0
    assert str(base) in log
    card = (tuned / "README.md").read_text(encoding="utf-8")
    assert "fine-tuned from" in card


@pytest.mark.slow
def test_the_default_learning_rate_depends_on_the_model(workshop: Workshop) -> None:
    common_options: dict[str, Any] = {"trainer__max_steps": 1, "model__schedule": "constant", "model__warmup_steps": 0}
    base = {"model__pretrained_model_name_or_path": workshop.folder / "scratch" / "model"}
    cases: list[tuple[str, dict[str, Any], float]] = [
        ("scratch", {}, 0.003),
        ("wide", {"model__from_scratch__n_embd": 512}, 0.0015),
        ("tuned", base, 5e-5),
        ("chosen", base | {"model__learning_rate": 1e-4}, 1e-4),
    ]
    for run, options, expected in cases:
        workshop.train(run=run, **common_options, **options)
        assert workshop.checkpoint(run)["optimizer_states"][0]["param_groups"][0]["lr"] == expected


def test_a_model_without_a_separator_gets_a_new_embedding_for_it(workshop: Workshop) -> None:
    tokenizer = word_level(sep_token=None)
    network = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_layer=1, n_head=2, n_embd=8))
    network.save_pretrained("base")
    tokenizer.save_pretrained("base")
    workshop.train(model__pretrained_model_name_or_path="./base", trainer__max_steps=2, data__max_length=32)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    assert model.tokenizer.sep_token == "<sep>"
    assert model.tokenizer.sep_token_id == len(tokenizer) == model.hf_model.config.vocab_size - 1


# Testing


def table_of(
    capsys: pytest.CaptureFixture[str], workshop: Workshop, command: str = "test", **options: Any
) -> dict[str, str]:
    """Return the table that `test` or `validate` prints."""
    capsys.readouterr()
    workshop.train(command, **options)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.rsplit(maxsplit=1) for line in lines if re.match(r"  \w.* [\d.,]+$", line)]
    return {name.strip(): value for name, value in rows}


@pytest.mark.machine
def test_a_checkpoint_and_the_exported_folder_have_equal_results(
    trained: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of(capsys, trained, model__pretrained_model_name_or_path=trained.folder / "run" / "model")
    assert table_of(capsys, trained, ckpt_path="last") == table
    assert list(table) == [
        "conversations",
        "predicted tokens",
        "loss (nats per token)",
        "perplexity per token",
        "perplexity per word",
    ]
    assert table["conversations"] == "20"


@pytest.mark.machine
def test_the_loss_does_not_depend_on_the_batch_size(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """The oracle computes the loss of transformers for each conversation alone."""
    workshop.train(model__from_scratch__n_positions=512, data__max_length=None)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    loss_sum = 0.0
    tokens = 0
    words = 0
    for conversation in read_conversations(workshop.folder / "test.jsonl"):
        encoding = model.tokenizer(list(conversation.turns[:-1]), persona=conversation.persona)
        last = model.tokenizer.encode(conversation.turns[-1])
        reply_type = encoding["token_type_ids"][-1]
        sep = model.tokenizer.sep_token_id
        ids = torch.tensor([[*encoding["input_ids"], *last, sep]])
        types = torch.tensor([[*encoding["token_type_ids"], *[reply_type] * len(last), 1 - reply_type]])
        labels = ids.clone()
        labels[0, : sum(len(model.tokenizer.encode(s)) + 1 for s in conversation.persona) + 1] = -100
        count = int((labels != -100).sum())
        with torch.no_grad():
            loss_sum += float(model.hf_model(ids, token_type_ids=types, labels=labels).loss) * count
        tokens += count
        words += sum(len(turn.split()) for turn in conversation.turns)
    for budget in (1, 100, 3000):
        table = table_of(
            capsys,
            workshop,
            model__pretrained_model_name_or_path=workshop.folder / "run" / "model",
            data__tokens_per_batch=budget,
            trainer__logger="false",
        )
        assert table["predicted tokens"] == f"{tokens:,}"
        assert float(table["loss (nats per token)"]) == pytest.approx(loss_sum / tokens, abs=1e-4)
        assert float(table["perplexity per word"].replace(",", "")) == pytest.approx(
            math.exp(loss_sum / words), rel=1e-3
        )


@pytest.mark.machine
def test_validate_prints_the_validation_loss_of_the_exported_model(
    trained: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (trained.folder / "run" / "model" / "README.md").read_text(encoding="utf-8")
    loss = next(line.split("|")[2].strip() for line in card.splitlines() if line.startswith("| validation loss"))
    assert table_of(capsys, trained, "validate", ckpt_path="last")["loss (nats per token)"] == loss


@pytest.mark.slow
@pytest.mark.parametrize("train_on", ["last", "first_speaker", "second_speaker", "last_speaker"])
def test_only_the_turns_of_train_on_are_predicted(
    trained: Workshop, capsys: pytest.CaptureFixture[str], train_on: str
) -> None:
    folder = trained.folder / "run" / "model"
    tokenizer = ConversationTokenizer.from_pretrained(folder)
    expected = 0
    for conversation in read_conversations(trained.folder / "test.jsonl"):
        last = len(conversation.turns) - 1
        targets = {
            "last": [last],
            "first_speaker": range(0, last + 1, 2),
            "second_speaker": range(1, last + 1, 2),
            "last_speaker": range(last % 2, last + 1, 2),
        }[train_on]
        expected += sum(len(tokenizer.encode(conversation.turns[n])) + 1 for n in targets)
    table = table_of(capsys, trained, model__pretrained_model_name_or_path=folder, model__train_on=train_on)
    assert int(table["predicted tokens"].replace(",", "")) <= expected
    all_turns = table_of(capsys, trained, model__pretrained_model_name_or_path=folder)
    assert int(table["predicted tokens"].replace(",", "")) < int(all_turns["predicted tokens"].replace(",", ""))
