"""Data modules in the state in which a trainer leaves them, without a trainer."""

from types import SimpleNamespace
from typing import Any

from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import FilesDataModule, ModelInputs


def set_up(
    data: FilesDataModule[Any, Any], inputs: ModelInputs, *, tokenizer_class: type[TextTokenizer], command: str = "fit"
) -> None:
    """Connect a data module to a model whose vocabulary of 300 tokens is learned, and call Lightning's hooks."""
    data.accept(data.learn_tokenizer(tokenizer_class, 300), inputs)
    state = SimpleNamespace(fn=SimpleNamespace(value=command))
    trainer: Any = SimpleNamespace(state=state, global_rank=0, world_size=1)
    data.trainer = trainer
    data.prepare_data()
    data.setup(command)
