"""Opening of whatever model a folder holds."""

import os

import torch

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.folder import CONVERSATION_FILE, DOCUMENT_FILE, has_file
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR
from convmodel.models.source import open_source


def load(
    name_or_path: str | os.PathLike[str],
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "auto",
    *,
    base: str | os.PathLike[str] | None = None,
) -> ConversationModel | DocumentModel | Selector:
    """Load the model of a folder, Hub name or GGUF file.

    The folder of a selector gives a selector of its class, and the folder of a model that was trained on documents a
    `DocumentModel`. All other language models, and adapters, reply to conversations.

    Args:
        name_or_path: the folder, Hub name or file.
        device: "cuda", "cpu", ...; by default an accelerator if there is one.
        dtype: a torch type or its name, "int8" or "auto"; see the `from_pretrained` of the class.
        base: the base model of an adapter; by default the one that the adapter's configuration names.

    Raises:
        FileNotFoundError, ValueError: see `ConversationModel.from_pretrained` and `Selector.from_pretrained`.

    Example:
        >>> convmodel.load("model").generate(["Hello"]).responses[0]
        'Hi, how are you?'
    """
    if base is None and has_file(name_or_path, SELECTOR):
        return Selector.from_pretrained(name_or_path, device, dtype)
    place = open_source(name_or_path, base=base).place_of(DOCUMENT_FILE, CONVERSATION_FILE)
    cls = DocumentModel if has_file(place, DOCUMENT_FILE) else ConversationModel
    return cls.from_pretrained(name_or_path, device, dtype, base=base)
