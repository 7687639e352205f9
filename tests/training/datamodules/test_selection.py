"""The data module of selection examples: batches, and pools of candidates."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.datamodules.selection import SelectionDataModule
from tests.training.datamodules.helpers import set_up

TALKS = [Conversation((f"question {n}", f"answer {n}", f"reply {n}")) for n in range(7)]


def data_of(folder: Path, **options: Any) -> Any:
    for split in ("train", "valid"):
        write_conversations(TALKS, folder / f"{split}.jsonl")
    files: dict[str, Any] = {f"{split}_file": str(folder / f"{split}.jsonl") for split in ("train", "valid")}
    data = SelectionDataModule(**files, cache_dir=str(folder / "cache"), **options)
    set_up(data, ModelInputs("SelectionDataModule", 64), tokenizer_class=ConversationTokenizer)
    return data


def test_each_later_turn_is_a_response_once_an_epoch(tmp_path: Path) -> None:
    data = data_of(tmp_path, batch_size=4)
    decode = data._tokenizer.decode
    batches = list(data.train_dataloader())
    assert [len(batch.examples) for batch in batches] == [4, 4, 4, 2]
    responses = sorted(decode(example.response) for batch in batches for example in batch.examples)
    assert responses == sorted(text for talk in TALKS for text in talk.turns[1:])
    assert {batch.pool for batch in batches} == {0}


def test_responses_are_ranked_in_pools_of_the_size_that_was_given(tmp_path: Path) -> None:
    data = data_of(tmp_path, batch_size=8, pool=4)
    batches = list(data.val_dataloader())
    assert {batch.pool for batch in batches} == {4}
    for batch in batches:
        for example in batch.examples:
            pool = [tuple(ids) for ids in (example.response, *example.distractors)]
            assert len(pool) == len(set(pool)) == 4


def test_turns_of_the_same_conversation_become_distractors_in_training_alone(tmp_path: Path) -> None:
    data = data_of(tmp_path, batch_size=4, dialogue_negatives=1)
    decode = data._tokenizer.decode
    epochs = []
    for _ in range(2):
        examples = [example for batch in data.train_dataloader() for example in batch.examples]
        chosen = {decode(example.response): [decode(ids) for ids in example.distractors] for example in examples}
        for response, distractors in chosen.items():
            own = next(set(talk.turns) for talk in TALKS if response in talk.turns)
            assert len(distractors) == 1 and distractors[0] in own - {response}
        epochs.append(chosen)
    assert epochs[0] == epochs[1]
    assert any(texts[0].startswith("question") for texts in chosen.values())
    assert any(texts[0].startswith("reply") for texts in chosen.values())


@pytest.mark.parametrize(
    ("name", "value", "minimum"),
    [("batch_size", 1, 2), ("distractors", -1, 0), ("dialogue_negatives", -1, 0), ("pool", 1, 2)],
)
def test_sizes_below_their_minimum_are_refused(name: str, value: int, minimum: int) -> None:
    with pytest.raises(ValueError, match=rf"data\.{name}={value}; it must be at least {minimum}"):
        SelectionDataModule(**{name: value})  # type: ignore[arg-type]
