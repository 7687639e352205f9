"""Training: Lightning modules, data modules, callbacks and the command line.

Class paths in YAML files and on the command line name the classes here, such as `convmodel.training.BiEncoderModule`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convmodel.training.conversation_module import ConversationModule
    from convmodel.training.datamodules.conversation import ConversationDataModule
    from convmodel.training.datamodules.document import DocumentDataModule
    from convmodel.training.datamodules.selection import SelectionDataModule
    from convmodel.training.document_module import DocumentModule
    from convmodel.training.selector_modules import (
        BiEncoderModule,
        ConvertModule,
        CrossEncoderModule,
        PolyEncoderModule,
    )

_HOMES = {
    "BiEncoderModule": "selector_modules",
    "SelectionDataModule": "datamodules.selection",
    "ConversationDataModule": "datamodules.conversation",
    "ConversationModule": "conversation_module",
    "ConvertModule": "selector_modules",
    "CrossEncoderModule": "selector_modules",
    "DocumentDataModule": "datamodules.document",
    "DocumentModule": "document_module",
    "PolyEncoderModule": "selector_modules",
}

__all__ = [
    "BiEncoderModule",
    "ConversationDataModule",
    "ConversationModule",
    "ConvertModule",
    "CrossEncoderModule",
    "DocumentDataModule",
    "DocumentModule",
    "PolyEncoderModule",
    "SelectionDataModule",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
