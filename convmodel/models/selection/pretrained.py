"""A name or folder in, an encoder and its tokenizer out, to be trained further: of transformers, or of a selector."""

import os
from pathlib import Path

from convmodel.models.selection.encoder import TokenEncoder, load_encoder
from convmodel.models.selection.registry import SELECTOR
from convmodel.models.selection.selector import Selector
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer


def pretrained_encoder(name_or_path: str | os.PathLike[str]) -> tuple[TokenEncoder, TextTokenizer]:
    """Loads an encoder in float32.

    Args:
        name_or_path: of transformers; or the folder of a selector, whose encoder of contexts is taken.

    Raises:
        FileNotFoundError, ValueError: when there is none, or it is none.
    """
    if not (Path(name_or_path) / SELECTOR).is_file():
        return load_encoder(name_or_path), ConversationTokenizer.from_pretrained(name_or_path)
    selector = Selector.from_pretrained(name_or_path, device="cpu", dtype="float32")
    for module in selector.network.children():
        if isinstance(module, TokenEncoder):
            return module, selector.tokenizer
    raise ValueError(f"{os.fspath(name_or_path)}: a {selector.kind} has no encoder of transformers to go on from")
