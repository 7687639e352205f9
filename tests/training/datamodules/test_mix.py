"""Conversations that are mixed into the epochs of the training file."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.datamodules.conversation import ConversationDataModule
from tests.training.conftest import Workshop, difference
from tests.training.datamodules.helpers import set_up
from tests.training.test_checkpoint import callback

OWN = [Conversation((f"Hello number {n}", "Hi!" * (1 + n % 5))) for n in range(60)]
GENERAL = [Conversation((f"General {n}", "Indeed. " * (1 + n % 7)), ("I am general.",)) for n in range(80)]


def data_of(folder: Path, mix: dict[str, float], **options: Any) -> ConversationDataModule:
    write_conversations(OWN, folder / "train.jsonl")
    write_conversations(OWN[:5], folder / "valid.jsonl")
    write_conversations(GENERAL, folder / "general.jsonl")
    shares = {str(folder / name): share for name, share in mix.items()}
    files: dict[str, Any] = {f"{split}_file": str(folder / f"{split}.jsonl") for split in ("train", "valid")}
    data = ConversationDataModule(**files, cache_dir=str(folder / "cache"), mix=shares, **options)
    set_up(data, ModelInputs("ConversationDataModule", 192), tokenizer_class=ConversationTokenizer)
    return data


def rows_of(data: ConversationDataModule, epoch: int) -> tuple[list[str], list[str]]:
    """Return the texts of an epoch's own and general rows, and check their labels."""
    loader = data.train_dataloader()
    loader.set_epoch(epoch)
    own: list[str] = []
    general: list[str] = []
    for batch in loader:
        assert batch["input_ids"].numel() <= 256
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            text = data._tokenizer.decode(ids.tolist())
            (general if "general" in text else own).append(text.strip())
            assert bool((labels != -100).any())
    return sorted(own), sorted(general)


def test_an_epoch_holds_all_own_conversations_and_a_new_sample_of_the_others(tmp_path: Path) -> None:
    data = data_of(tmp_path, {"general.jsonl": 0.2}, tokens_per_batch=256)
    epochs = [rows_of(data, epoch) for epoch in range(3)]
    assert len(epochs[0][0]) == 60 and epochs[0][0] == epochs[1][0] == epochs[2][0]
    assert len({*epochs[0][1]}) == len(epochs[0][1]) == len(epochs[1][1])
    assert not {*epochs[0][1]} & {*epochs[1][1]}
    assert rows_of(data, 0) == epochs[0]


def test_the_description_counts_the_mix_and_validation_is_unmixed(tmp_path: Path) -> None:
    data = data_of(tmp_path, {"general.jsonl": 0.2}, tokens_per_batch=256)
    count = len(rows_of(data, 0)[1])
    described = data.described[f"mix {tmp_path}/general.jsonl"]
    assert described.endswith(f"20 % of the tokens of an epoch, {count} of 80 windows")
    validation: Any = data.val_dataloader()
    assert sum(len(batch["labels"]) for batch in validation) == 5


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"a": 0.0}, r"data\.mix: .*a has the share 0\.0; it must be above 0\.0 and below 1\.0"),
        ({"a": 0.5, "b": 0.5}, r"data\.mix: the shares sum to 1, which leaves nothing .* must be below 1\.0"),
        ({"general.jsonl": 0.9}, r"data\.mix: .*general.jsonl has [\d,]+ tokens, .* at most 0\.\d+, or a larger file"),
    ],
)
def test_impossible_shares_are_errors_that_name_the_option(tmp_path: Path, mix: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data_of(tmp_path, mix)


def test_the_proposed_share_is_possible(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most") as error:
        data_of(tmp_path, {"general.jsonl": 0.9})
    share = float(str(error.value).partition("at most ")[2].partition(",")[0])
    data_of(tmp_path, {"general.jsonl": share})


@pytest.mark.slow
def test_a_mixed_run_resumes_exactly_and_takes_the_mix_from_the_checkpoint(workshop: Workshop) -> None:
    mixed: dict[str, Any] = {"data__mix": {str(workshop.folder / "test.jsonl"): 0.1}}
    options: dict[str, Any] = {"trainer__max_epochs": 3, "checkpoint__every_n_steps": 5}
    workshop.train(run="whole", **mixed, **options)
    workshop.run_fork(run="cut", trainer__callbacks=callback("KillAt", step=13), **mixed, **options)
    log = workshop.train(run="cut", ckpt_path="last", **options)
    assert "data.mix: {" in log and "(from the checkpoint; the default is None)" in log
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
