"""Training: Lightning modules, data modules, callbacks and the command line.

Class paths in YAML files and on the command line name the classes here, such as `convmodel.training.BiEncoderModule`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convmodel.training.conversation_module import ConversationModule as ConversationModule
    from convmodel.training.datamodules.conversation import ConversationDataModule as ConversationDataModule
    from convmodel.training.datamodules.document import DocumentDataModule as DocumentDataModule
    from convmodel.training.datamodules.selection import SelectionDataModule as SelectionDataModule
    from convmodel.training.document_module import DocumentModule as DocumentModule
    from convmodel.training.selector_modules import BiEncoderModule as BiEncoderModule
    from convmodel.training.selector_modules import ConvertModule as ConvertModule
    from convmodel.training.selector_modules import CrossEncoderModule as CrossEncoderModule
    from convmodel.training.selector_modules import PolyEncoderModule as PolyEncoderModule
    from convmodel.training.tokenizer import connect as connect

_MODULES = {
    "BiEncoderModule": "convmodel.training.selector_modules",
    "ConversationDataModule": "convmodel.training.datamodules.conversation",
    "ConversationModule": "convmodel.training.conversation_module",
    "ConvertModule": "convmodel.training.selector_modules",
    "CrossEncoderModule": "convmodel.training.selector_modules",
    "DocumentDataModule": "convmodel.training.datamodules.document",
    "DocumentModule": "convmodel.training.document_module",
    "PolyEncoderModule": "convmodel.training.selector_modules",
    "SelectionDataModule": "convmodel.training.datamodules.selection",
    "connect": "convmodel.training.tokenizer",
}
"""The module of each public name."""

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
