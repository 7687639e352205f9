"""Loading a pretrained encoder and its tokenizer from transformers, or from a saved selector."""

import os
from pathlib import Path

from convmodel.models.selection.encoder import TokenEncoder, load_encoder
from convmodel.models.selection.registry import SELECTOR
from convmodel.models.selection.selector import Selector
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer


def pretrained_encoder(name_or_path: str | os.PathLike[str]) -> tuple[TokenEncoder, TextTokenizer]:
    """Load an encoder in float32, and its tokenizer.

    Args:
        name_or_path: Hub name or folder of a transformers model; or the folder of a selector, whose context encoder is
            used.

    Raises:
        FileNotFoundError: when there is no such folder or Hub name.
        ValueError: when it does not contain a transformers encoder.
    """
    if not (Path(name_or_path) / SELECTOR).is_file():
        return load_encoder(name_or_path), ConversationTokenizer.from_pretrained(name_or_path)
    selector = Selector.from_pretrained(name_or_path, device="cpu", dtype="float32")
    for module in selector.network.children():
        if isinstance(module, TokenEncoder):
            return module, selector.tokenizer
    raise ValueError(f"{os.fspath(name_or_path)}: a {selector.kind} has no transformers encoder to train further")
