"""Precedence of defaults, checkpoint and command line, and messages about differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser, Namespace

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.config import SIZES, check_duplicate_keys, merge_hyperparameters


@dataclass
class Sizes:
    """The role of FromScratch."""

    n_layer: int = 4
    resid_pdrop: float = 0.1


class Model:
    """The role of ConversationModule."""

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: Sizes = Sizes(),  # noqa: B008
        learning_rate: float = 0.5,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        pass


class Data:
    """The role of ConversationDataModule."""

    def __init__(self, train_file: str | None = None, tokens_per_batch: int = 2048) -> None:
        pass


SAVED_MODEL = {
    "pretrained_model_name_or_path": None,
    "from_scratch": {"n_layer": 4, "resid_pdrop": 0.1},
    "learning_rate": 0.5,
    "betas": [0.9, 0.95],
    "_class_path": "somewhere.Model",
    "_instantiator": "somebody",
}
SAVED_DATA = {"train_file": None, "tokens_per_batch": 2048, "_class_path": "somewhere.Data"}


def merge(
    arguments: list[str], model: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None
) -> tuple[Namespace, list[str]]:
    """Merge a checkpoint with these changes into a parsed command line; return the options and the messages."""
    parser = ArgumentParser(exit_on_error=False)
    for name, cls in {"model": Model, "data": Data}.items():
        parser.add_subclass_arguments(cls, name)
    parser.set_defaults({"model": {"class_path": f"{__name__}.Model"}, "data": {"class_path": f"{__name__}.Data"}})
    config = parser.parse_args(arguments)
    explicit = parser.parse_args(arguments, defaults=False)
    checkpoint = {
        "hyper_parameters": SAVED_MODEL | dict(model or {}),
        "datamodule_hyper_parameters": SAVED_DATA | dict(data or {}),
    }
    messages = list(merge_hyperparameters(config, explicit, checkpoint))
    return config, messages


def test_without_differences_there_are_no_messages() -> None:
    config, lines = merge([])
    assert lines == []
    assert config.model.init_args.learning_rate == 0.5


def test_the_checkpoint_overrides_defaults() -> None:
    config, lines = merge([], model={"learning_rate": 0.25}, data={"train_file": "a.jsonl"})
    assert config.model.init_args.learning_rate == 0.25
    assert config.data.init_args.train_file == "a.jsonl"
    assert config.data.init_args.tokens_per_batch == 2048
    assert lines == [
        "model.learning_rate: 0.25 (from the checkpoint; the default is 0.5)",
        "data.train_file: a.jsonl (from the checkpoint; the default is None)",
    ]


def test_given_options_override_the_checkpoint() -> None:
    config, lines = merge(
        ["--model.learning_rate=0.75", "--data.tokens_per_batch=64"],
        model={"learning_rate": 0.25},
        data={"tokens_per_batch": 128},
    )
    assert config.model.init_args.learning_rate == 0.75
    assert config.data.init_args.tokens_per_batch == 64
    assert lines == [
        "model.learning_rate: 0.75 (given; the checkpoint was trained with 0.25)",
        "data.tokens_per_batch: 64 (given; the checkpoint was trained with 128)",
    ]


def test_an_explicitly_given_default_overrides_the_checkpoint() -> None:
    config, lines = merge(["--model.learning_rate=0.5"], model={"learning_rate": 0.25})
    assert config.model.init_args.learning_rate == 0.5
    assert lines == ["model.learning_rate: 0.5 (given; the checkpoint was trained with 0.25)"]


def test_a_given_option_equal_to_the_checkpoint_is_no_difference() -> None:
    config, lines = merge(
        ["--model.learning_rate=0.25", "--model.from_scratch.n_layer=2"],
        model={"learning_rate": 0.25, "from_scratch": {"n_layer": 2, "resid_pdrop": 0.1}},
    )
    assert lines == []
    assert config.model.init_args.from_scratch.n_layer == 2


def test_nested_options_are_merged_individually() -> None:
    config, lines = merge(
        ["--model.from_scratch.resid_pdrop=0.3"],
        model={"from_scratch": {"n_layer": 2, "resid_pdrop": 0.2}},
    )
    assert config.model.init_args.from_scratch.n_layer == 2
    assert config.model.init_args.from_scratch.resid_pdrop == 0.3
    assert sorted(lines) == [
        "model.from_scratch.n_layer: 2 (from the checkpoint; the default is 4)",
        "model.from_scratch.resid_pdrop: 0.3 (given; the checkpoint was trained with 0.2)",
    ]


def test_a_list_equals_a_tuple_of_the_same_numbers() -> None:
    assert merge([], model={"betas": [0.9, 0.95]})[1] == []
    config, lines = merge([], model={"betas": [0.8, 0.99]})
    assert list(config.model.init_args.betas) == [0.8, 0.99]
    assert lines == ["model.betas: [0.8, 0.99] (from the checkpoint; the default is [0.9, 0.95])"]


def test_options_can_be_given_in_any_form_of_config() -> None:
    for arguments in (
        ['--model={"learning_rate": 0.75}'],
        [f'--model={{"class_path": "{__name__}.Model", "init_args": {{"learning_rate": 0.75}}}}'],
        ["--model=Model", "--model.init_args.learning_rate=0.75"],
    ):
        config, lines = merge(arguments, model={"learning_rate": 0.25})
        assert config.model.init_args.learning_rate == 0.75
        assert lines == ["model.learning_rate: 0.75 (given; the checkpoint was trained with 0.25)"]


def test_the_base_model_comes_from_the_checkpoint() -> None:
    config, _ = merge([], model={"pretrained_model_name_or_path": "gpt2"})
    assert config.model.init_args.pretrained_model_name_or_path == "gpt2"


def test_a_size_or_base_model_other_than_that_of_the_checkpoint_is_rejected() -> None:
    with pytest.raises(
        ValueError,
        match=r"^model\.from_scratch\.n_layer=6, but the checkpoint has 4, on which its weights depend; leave .* out$",
    ):
        merge(["--model.from_scratch.n_layer=6"])
    with pytest.raises(ValueError, match=r"^model\.pretrained_model_name_or_path=gpt2, but the checkpoint has None"):
        merge(["--model.pretrained_model_name_or_path=gpt2"])


def test_sizes_contains_all_options_that_a_checkpoint_fixes() -> None:
    from convmodel.models.from_scratch import DROPOUTS, FromScratch
    from convmodel.models.selection.convert.network import ConvertSizes
    from convmodel.models.selection.encoder import NewEncoder
    from convmodel.models.selection.poly_encoder import PolyEncoder

    sizes = {*FromScratch.__dataclass_fields__, *NewEncoder.__dataclass_fields__} - {*DROPOUTS}
    sizes |= {*ConvertSizes.__dataclass_fields__, "extra_contexts", "max_tokens"}
    encoder = NewEncoder(layers=1, heads=1, width=8)
    options = PolyEncoder.untrained(ConversationTokenizer.learn(["a"], 300), encoder).options()
    assert {*SIZES} == sizes | (options.keys() - {"encoder"})


def test_options_unknown_to_the_checkpoint_or_the_program_are_ignored() -> None:
    config, lines = merge([], model={"of_an_older_version": 3})
    assert lines == []
    assert "of_an_older_version" not in config.model.init_args
    parsed = Namespace(model=Namespace(init_args=Namespace(new=1)), data=Namespace(init_args=Namespace(new=1)))
    assert list(merge_hyperparameters(parsed, Namespace(), {})) == []
    assert parsed.model.init_args.new == 1


# Duplicate keys of config files


def check(folder: Path, content: str | bytes) -> None:
    path = folder / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    check_duplicate_keys(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing but a comment\n",
        "just a text",
        "a: 1\nb: 2\n",
        "a: {x: 1}\nb: {x: 1}\n",
        "a:\n  x: 1\nx: 1\n",
        "- {a: 1}\n- {a: 1}\n",
        "1: number\n'1': text\n",
        "a: &shared {x: 1}\nb: *shared\nc: *shared\n",
        "a: &itself [*itself]\n",
        "? [1, 2]\n: list\n? [1, 2, 3]\n: list\n",
        "挨拶: こんにちは\n",
    ],
)
def test_a_file_without_duplicate_keys_is_valid(tmp_path: Path, content: str) -> None:
    check(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "key", "second", "first"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3, 1),
        ("a: 1\n'a': 1\n", "a", 2, 1),
        ("model:\n  x: 1\n  deep:\n    y: 1\n    z: 1\n    y: 2\n", "y", 6, 4),
        ("- a: 1\n- b: 1\n  c: 1\n  b: 1\n", "b", 4, 2),
        ("x: {a: 1, b: 2, a: 1}\n", "a", 1, 1),
        ("a: 1\na: 2\na: 3\n", "a", 2, 1),
        ("true: 1\nb: 2\ntrue: 3\n", "true", 3, 1),
    ],
)
def test_a_duplicate_key_in_a_mapping_is_an_error_with_both_lines(
    tmp_path: Path, content: str, key: str, second: int, first: int
) -> None:
    with pytest.raises(ValueError) as error:
        check(tmp_path, content)
    assert str(error.value) == (
        f"{tmp_path}/config.yaml:{second}: the key {key!r} is here and in line {first}; "
        "remove one (was --print_config appended with >> to a file that had a config?)"
    )


def test_a_config_appended_to_itself_is_rejected(tmp_path: Path) -> None:
    config = "# a comment\nseed_everything: 1\nmodel:\n  learning_rate: 0.1\n"
    with pytest.raises(ValueError, match=r"config\.yaml:\d+: the key '\w+' is here and in line \d+; remove one"):
        check(tmp_path, config + config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1, 2\nb: 3\n", r"config\.yaml:\d: is not YAML \(.+\); correct it there or just before"),
        ("a: 1\n\tb: 2\n", r"config\.yaml:2: is not YAML"),
        ("a: *unknown\n", r"config\.yaml:1: is not YAML \(found undefined alias 'unknown'\)"),
        ("a: 1\n---\nb: 1\n", r"config\.yaml:2: is not YAML \(but found another document\)"),
        ("a: \x00\n", r"config\.yaml: is not YAML \("),
        (b"a: \xff\n", r"config\.yaml: is not UTF-8 \(byte 4\); save it as UTF-8"),
    ],
)
def test_invalid_yaml_is_an_error_of_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        check(tmp_path, content)
    assert "\n" not in str(error.value)
    assert type(error.value) is ValueError


def test_a_missing_file_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no such config file; make one with --print_config > "):
            check_duplicate_keys(path)
