"""Options by their name alone, in the sections of a config."""

from typing import Any

import pytest
from pytorch_lightning import Trainer

from convmodel.training import (
    BiEncoderModule,
    ConversationDataModule,
    ConversationModule,
    ConvertModule,
    CrossEncoderModule,
    DocumentDataModule,
    DocumentModule,
    PolyEncoderModule,
    SelectionDataModule,
)
from convmodel.training.option_places import _parameters, holds_objects, place_options

CLASSES: dict[str, type] = {"model": ConversationModule, "data": ConversationDataModule, "trainer": Trainer}
MODELS: dict[type, list[type]] = {
    ConversationDataModule: [ConversationModule],
    DocumentDataModule: [DocumentModule],
    SelectionDataModule: [BiEncoderModule, PolyEncoderModule, CrossEncoderModule, ConvertModule],
}


def test_options_are_found_in_their_sections() -> None:
    given = {"learning_rate": 0.1, "lora": {"r": 2}, "tokens_per_batch": 64, "max_epochs": 2, "seed_everything": 5}
    assert place_options(given | {"samples": {"count": 1}}, CLASSES, others=["samples"]) == {
        "model": {"learning_rate": 0.1, "lora": {"r": 2}},
        "data": {"tokens_per_batch": 64},
        "trainer": {"max_epochs": 2},
        "samples": {"count": 1},
        "seed_everything": 5,
    }


def test_options_may_be_given_in_their_section_which_is_left_as_it_is() -> None:
    trainer = {"max_epochs": 2}
    placed = place_options({"trainer": trainer, "max_steps": 9}, CLASSES)
    assert placed["trainer"] == {"max_epochs": 2, "max_steps": 9}
    assert trainer == {"max_epochs": 2}


def test_no_name_belongs_to_two_sections() -> None:
    trainer = set(_parameters(Trainer))
    for data, modules in MODELS.items():
        for module in modules:
            sets = [set(_parameters(module)), set(_parameters(data)), trainer]
            assert len(set.union(*sets)) == sum(map(len, sets)), module


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epoch": 1}, "max_epoch: there is no such option; did you mean max_epochs?"),
        ({"qqqqqq": 1}, "the options are the parameters of ConversationModule, ConversationDataModule, Trainer"),
        ({"model": {"learning_rat": 1}}, "model.learning_rat: there is no such option; did you mean learning_rate?"),
        ({"model": 3}, "model=3: give a mapping of options"),
        ({"train_file": "a"}, "train_file: is not an option in Python: give the data as train"),
        ({"data": {"valid_file": "a"}}, "data.valid_file: is not an option in Python: give the data as valid"),
        ({"max_epochs": 1, "trainer": {"max_epochs": 2}}, "max_epochs is given twice, also in trainer={...}"),
    ],
)
def test_a_wrong_name_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as raised:
        place_options(options, CLASSES)
    assert message in str(raised.value)


def test_values_of_a_config_hold_no_objects() -> None:
    assert not holds_objects({"a": [1, "b", None, 2.0, True, {"c": ()}]})
    assert holds_objects([1, object()]) and holds_objects({"a": object()})
