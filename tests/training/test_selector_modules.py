"""Runs of the trainer with the four kinds of selectors."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.selector import Selector
from convmodel.training.selector_modules import CrossEncoderModule
from tests.training.conftest import SIZES, TWO, Workshop, difference

pytestmark = pytest.mark.slow

TINY = NewEncoder(layers=1, heads=2, width=16, positions=96, vocab_size=300, dropout=0.0)
# Runs of the trainer

BI, POLY, CROSS = (f"convmodel.training.{name}EncoderModule" for name in ("Bi", "Poly", "Cross"))
CONVERT = "convmodel.training.ConvertModule"


CONVERT_SIZES = {"vocab_size": 300, "width": 16, "projection": 8, "windows": [3, 5], "inner": 32, "encoding": 16}


def arguments(workshop: Workshop, kind: str, command: str = "fit", *, run: str = "run", **options: Any) -> list[str]:
    """Return a command line with a tiny selector instead of a tiny GPT-2."""
    no_gpt2_sizes = {f"model__from_scratch__{name}": ... for name in SIZES}
    sizes = {f"model__new_encoder__{name}": value for name, value in asdict(TINY).items() if value is not None}
    lengths = {"model__max_context": 60, "model__max_candidate": 20}
    if kind == CONVERT:
        lengths = {"model__max_tokens": 20, "model__extra_contexts": 3, "model__scale_steps": 10}
        sizes = {f"model__sizes__{name}": value for name, value in CONVERT_SIZES.items()}
    if "model__pretrained_model_name_or_path" in options:
        sizes = {}
    given = no_gpt2_sizes | {"data__tokens_per_batch": ..., "data__batch_size": 20} | sizes | lengths | options
    first, *others = workshop.arguments(command, run=run, **given)
    return [first, f"--model={kind}", "--data=convmodel.training.SelectionDataModule", *others]


def train(workshop: Workshop, kind: str, command: str = "fit", **options: Any) -> None:
    """Run the trainer in this process."""
    from convmodel.trainer import main

    main(arguments(workshop, kind, command, **options))


@pytest.mark.machine
@pytest.mark.parametrize("kind", [BI, POLY, CROSS, CONVERT])
def test_an_exported_selector_and_its_checkpoint_have_equal_results(
    workshop: Workshop, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(workshop, kind, trainer__val_check_interval=0.5)
    output = capsys.readouterr().out
    assert output.count("R_10@1") == 2 and "  ->  " in output
    folder = workshop.folder / "run" / "model"
    assert Selector.from_pretrained(folder).score([["Hello"]], ["Hi!", "It rains"]).shape == (1, 2)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "validation R_10@1" in card and "train.jsonl: JSON Lines" in card
    train(workshop, kind, "test", ckpt_path="last")
    checkpoint_output = capsys.readouterr().out
    assert "(94 responses)" in checkpoint_output
    loaded = Selector.from_pretrained(folder)
    loaded.network.load_state_dict(
        {name.removeprefix("network."): weights for name, weights in workshop.weights().items()}
    )
    loaded.save_pretrained(workshop.folder / "last")
    train(workshop, kind, "test", model__pretrained_model_name_or_path=workshop.folder / "last")
    assert capsys.readouterr().out == checkpoint_output


def test_responses_are_ranked_among_the_candidates_of_the_file(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "valid"):
        lines = [
            {
                "context": [f"Where is {n}?"],
                "response": f"{n} is here",
                "distractors": [f"{m} is here" for m in (n + 1, 0)],
            }
            for n in range(1, 25)
        ]
        path = workshop.folder / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    train(workshop, BI, data__pool=3, data__distractors=2, model__cached_gradients="true")
    output = capsys.readouterr().out
    assert "R_3@1" in output and "(24 responses)" in output


@pytest.mark.machine
def test_a_resumed_selector_has_equal_weights(workshop: Workshop) -> None:
    options: dict[str, Any] = {
        "model__new_encoder__dropout": 0.1,
        "model__optimizer": "adamax",
        "model__schedule": "plateau",
        "trainer__max_epochs": 2,
    }
    train(workshop, POLY, run="whole", **options)
    uninterrupted = workshop.checkpoint("whole")
    train(workshop, POLY, run="cut", **options, checkpoint__every_n_steps=1, trainer__limit_train_batches=...)
    assert difference(workshop.weights("cut"), uninterrupted["state_dict"]) == 0
    steps = uninterrupted["global_step"]
    train(workshop, POLY, run="short", **{**options, "trainer__max_steps": steps // 2 + 1, "trainer__max_epochs": -1})
    train(workshop, POLY, run="short", **options, ckpt_path="last")
    assert difference(workshop.weights("short"), uninterrupted["state_dict"]) == 0


@pytest.mark.machine
def test_a_poly_encoder_can_be_initialised_from_a_bi_encoder(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    train(workshop, BI)
    base = workshop.folder / "run" / "model"
    train(
        workshop,
        POLY,
        run="poly",
        model__pretrained_model_name_or_path=base,
        model__learning_rate=0,
        trainer__max_steps=1,
    )
    bi = Selector.from_pretrained(base).network.state_dict()
    poly = Selector.from_pretrained(workshop.folder / "poly" / "model").network.state_dict()
    assert difference(bi, {name: poly[name] for name in bi}) == 0 and "codes.codes" in poly


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data__batch_size": 1}, "data.batch_size=1; it must be at least 2"),
        ({"model__label_smoothing": 1.5}, "model.label_smoothing=1.5; it must be at least 0.0 and below 1.0"),
        ({"model__new_encoder__heads": 3}, "heads=3 does not divide width=16"),
        ({"model__max_context": 20}, "train.jsonl: conversation 3 has a persona that leaves no room for a turn in 20"),
        ({"model__max_context": 100}, "max_context=100; this encoder reads 3 to 96 tokens"),
    ],
)
def test_invalid_options_are_an_error(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SystemExit):
        train(workshop, BI, **options)
    assert message in capsys.readouterr().err


def test_selection_data_is_rejected_for_a_generative_model(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    from convmodel.trainer import main

    first, *others = workshop.arguments(data__tokens_per_batch=...)
    with pytest.raises(SystemExit):
        main([first, "--data=convmodel.training.SelectionDataModule", *others])
    message = "the model reads the examples of a ConversationDataModule; give --data convmodel.training.Conversation"
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_another_kind_of_model_is_rejected(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    train(workshop, BI, trainer__max_steps=1)
    with pytest.raises(SystemExit):
        train(workshop, POLY, ckpt_path="last")
    assert "is a checkpoint of a BiEncoderModule, not of a PolyEncoderModule; give" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [{"extra_contexts": 0}, {"max_tokens": 30}, {"sizes__windows": [3, 5, 7]}, {"sizes__encoding": 32}],
    ids=lambda option: next(iter(option)),
)
def test_resuming_with_other_sizes_is_rejected(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], option: dict[str, Any], convert_checkpoint: Path
) -> None:
    given = {f"model__{name}": value for name, value in option.items()}
    with pytest.raises(SystemExit):
        train(workshop, CONVERT, ckpt_path=convert_checkpoint, trainer__max_epochs=2, **given)
    error = capsys.readouterr().err
    assert f"model.{next(iter(option)).replace('__', '.')}=" in error and "on which its weights depend" in error


@pytest.fixture(scope="module")
def convert_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a ConveRT model after one step."""
    workshop = Workshop(tmp_path_factory.mktemp("convert"), [])
    train(workshop, CONVERT, trainer__max_steps=1)
    return workshop.folder / "run" / "checkpoints" / "last.ckpt"


def test_the_name_of_recall_contains_the_number_of_candidates(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(f'["Hello", "Hi {n}"]\n' for n in range(5))
    (workshop.folder / "valid.jsonl").write_text(lines, encoding="utf-8")
    train(workshop, BI, trainer__max_steps=1, trainer__val_check_interval=1)
    assert "R_5@1" in capsys.readouterr().out
    assert "validation R_5@1" in (workshop.folder / "run" / "model" / "README.md").read_text(encoding="utf-8")


def test_a_validation_without_distractors_logs_that_nothing_is_ranked(workshop: Workshop, messages: list[str]) -> None:
    (workshop.folder / "valid.jsonl").write_text('["Hello", "Hi"]\n["Hello there", "Hi"]\n', encoding="utf-8")
    train(workshop, BI, trainer__max_steps=1, trainer__val_check_interval=1)
    assert "val: no response has a candidate with another text; nothing is ranked" in messages


def test_fine_tuning_skips_examples_too_long_for_the_given_context(workshop: Workshop, messages: list[str]) -> None:
    train(workshop, BI, trainer__max_steps=1)
    base = workshop.folder / "run" / "model"
    sentence = "I"
    while len(Selector.from_pretrained(base).tokenizer.encode(sentence)) < 70:  # max_context is 60
        sentence += " I"
    example = json.dumps({"persona": [sentence], "turns": ["Hello", "Hi"]})
    with open(workshop.folder / "train.jsonl", "a", encoding="utf-8") as file:
        file.write(example + "\n")
    options: dict[str, Any] = {"model__pretrained_model_name_or_path": base, "data__on_error": "skip"}
    train(workshop, BI, run="on", **options, model__max_context=90)
    assert "1 skipped for their long persona" in "\n".join(messages)
    train(workshop, BI, run="on", **options, model__max_context=90, ckpt_path="last", trainer__max_epochs=2)


def test_the_cached_vocabulary_depends_on_the_kind_of_examples(workshop: Workshop) -> None:
    lines = [{"context": ["Where?"], "response": f"Here {n}", "distractors": ["qqqq zzzz " * 9]} for n in range(9)]
    for name in ("train", "valid"):
        text = "\n".join(map(json.dumps, lines)) + "\n"
        (workshop.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    train(workshop, BI, trainer__max_steps=1)
    [folder] = (workshop.folder / "cache" / "vocabularies").iterdir()
    assert "-example" in folder.name


def test_a_plateau_does_not_count_the_sanity_check(workshop: Workshop) -> None:
    options: dict[str, Any] = {"model__schedule": "plateau", "model__learning_rate": 0, "trainer__max_steps": 1}
    sizes: dict[str, Any] = {f"model__from_scratch__{name}": value for name, value in SIZES.items()}
    options |= {"trainer__num_sanity_val_steps": -1, "trainer__val_check_interval": 1}
    workshop.train(**sizes, **options)
    assert workshop.checkpoint()["plateau"]["scale"] == 1
    train(workshop, BI, run="bi", **options)
    assert workshop.checkpoint("bi")["plateau"]["scale"] == 1


@pytest.mark.machine
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")
def test_two_processes_with_an_odd_number_of_batches_learn_as_one_does(workshop: Workshop) -> None:
    """Both runs end by early stopping on recall; one process with batches of twice the size makes the same steps.

    The 250 responses are five batches, so one process has no last batch.
    """
    stop = {"class_path": "pytorch_lightning.callbacks.EarlyStopping"}
    stop["init_args"] = {"monitor": "val_recall", "mode": "max", "patience": 1}  # type: ignore[assignment]
    options: dict[str, Any] = {"data__batch_size": 54, "trainer__max_epochs": 20, "trainer__callbacks": [stop]}
    options |= {"model__learning_rate": 1e-7, "model__cached_gradients": "true"}
    arguments_of_two = arguments(workshop, POLY, run="two", **options, **TWO)
    result = workshop.fork(arguments_of_two, processes=2)
    assert result.status == 0, result.text
    train(workshop, POLY, run="one", **options | {"data__batch_size": 108})
    one = workshop.checkpoint("one")
    two = workshop.checkpoint("two")
    assert two["global_step"] == one["global_step"] and 0 < one["epoch"] < 19
    assert difference(two["state_dict"], one["state_dict"]) < 1e-5
    best = [one["callbacks"]["BestExport"]["best"] for one in (one, two)]
    assert best[0] == pytest.approx(best[1])


@pytest.mark.parametrize("kind", [BI, CROSS])
def test_adapters_are_merged_into_the_exported_selector_and_a_run_resumes(workshop: Workshop, kind: str) -> None:
    train(workshop, kind, run="base")
    base = workshop.folder / "base" / "model"
    lora: dict[str, Any] = {"model__pretrained_model_name_or_path": base, "model__lora__r": 2}
    train(workshop, kind, trainer__max_steps=2, **lora)
    exported = Selector.from_pretrained(workshop.folder / "run" / "model")
    assert set(exported.weights()) == set(Selector.from_pretrained(base).weights())
    assert difference(exported.weights(), Selector.from_pretrained(base).weights()) > 0
    train(workshop, kind, trainer__max_steps=4, ckpt_path="last", **lora)
    train(workshop, kind, "test", ckpt_path="last", **lora)


def test_a_bi_encoder_learns_from_a_cross_encoder(workshop: Workshop) -> None:
    train(workshop, CROSS, run="teacher")
    teacher = workshop.folder / "teacher" / "model"
    train(workshop, BI, model__teacher=teacher, model__pretrained_model_name_or_path=teacher)
    assert Selector.from_pretrained(workshop.folder / "run" / "model").kind == "bi-encoder"


def test_joint_layers_without_compared_vectors_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"model\.compare_pooled=false, model\.joint_layers=2: .* leave one of the two out"
    ):
        CrossEncoderModule(compare_pooled=False, joint_layers=2)
