"""The inputs of samples, and the inputs for the data module."""

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation
from convmodel.training.conversation_module import ConversationModule
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.samples import SampleRequest
from tests.training.test_language_module import SIZES


def test_samples_use_given_contexts_or_the_beginnings_of_examples() -> None:
    module = ConversationModule(from_scratch=SIZES)
    long = Conversation(("a", "b", "c", "d", "e"), ("I am Ida.",))
    short = Conversation(("a", "b"))
    given = SampleRequest([["Hello"]], None, [long])
    assert module.sample_inputs(given) == [(["Hello"], ())]
    beginnings = module.sample_inputs(SampleRequest(None, None, [long, short]))
    assert beginnings == [(("a", "b", "c"), ("I am Ida.",)), (("a",), ())]


def test_the_data_module_gets_the_window_and_the_turns_to_predict() -> None:
    module = ConversationModule(from_scratch=SIZES, train_on="last")
    assert module.inputs == ModelInputs("ConversationDataModule", SIZES.n_positions, "last")
    assert module.tokenizer is None and module.vocab_size == SIZES.vocab_size
