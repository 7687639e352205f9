"""Base class of selectors with transformers encoders, and loading a pretrained encoder with its tokenizer."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, cast

from torch import Tensor, nn

from convmodel.models.folder import checked_source, local_folder
from convmodel.models.loading import check_vocabulary
from convmodel.models.selection.encoder import NewEncoder, TokenEncoder, encode_in_batches, load_encoder, new_encoder
from convmodel.models.selection.layout import EncoderBatch, EncoderInput, RowLayout
from convmodel.models.selection.scoring import Pooling, check_pooling
from convmodel.models.selection.selector import Selector
from convmodel.models.selection.selector_files import SELECTOR, read_config
from convmodel.models.selection.sentence_folder import is_sentence_folder, sentence_options, transformer_folder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.text_tokenizer import TextTokenizer

INHERITED = ("pooling", "cosine_scale", "speaker_types", "context_prompt", "candidate_prompt")
"""Options of a saved selector that are the defaults of a new selector with the same encoder."""


class EncoderSelector(Selector):
    """A selector that encodes rows of token ids with transformers models.

    Args:
        encoder: the encoder of contexts, a part of `network`. If the tokenizer has more tokens than an encoder of the
            network has embeddings, such as an added separator, new embeddings are added.
        tokenizer: the tokenizer.
        network: the network, which contains one or more encoders.
        pooling, max_context, max_candidate, speaker_types: see `BiEncoder`.

    Raises:
        ValueError: for rows longer than the encoder's positions.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        tokenizer: TextTokenizer,
        *,
        network: nn.Module,
        pooling: Pooling,
        max_context: int,
        max_candidate: int,
        speaker_types: bool = True,
    ) -> None:
        super().__init__(network, tokenizer)
        check_pooling(pooling)
        self.encoder = encoder
        self.pooling = pooling
        for name, length in (("max_context", max_context), ("max_candidate", max_candidate)):
            if not 3 <= length <= encoder.positions:
                raise ValueError(f"{name}={length}; this encoder reads 3 to {encoder.positions} tokens")
        for module in network.modules():
            if isinstance(module, TokenEncoder):
                embeddings = cast(nn.Embedding, module.hf_model.get_input_embeddings())
                if len(tokenizer) > embeddings.num_embeddings:
                    module.hf_model.resize_token_embeddings(len(tokenizer))
        first = tokenizer.hf_tokenizer.cls_token_id
        self.layout = RowLayout(
            tokenizer.sep_token_id,
            first,
            max_context=max_context,
            max_candidate=max_candidate,
            speaker_types=speaker_types,
        )

    @classmethod
    def from_encoder(cls, name_or_path: str | os.PathLike[str], **options: Any) -> Self:
        """Create a selector to be trained from a pretrained encoder.

        Args:
            name_or_path: Hub name or folder of BERT, DistilBERT, GPT-2, or another encoder or decoder; a model of
                sentence-transformers; or the folder of a selector, whose context encoder is used.
            options: arguments of the class. With a model of sentence-transformers, the defaults of pooling, cosine
                scale, prompts, speaker types and largest lengths are those of the model. With a selector, all of these
                but the lengths are those of the selector.

        Raises:
            FileNotFoundError, ValueError: when there is no such folder or name, or it has no suitable encoder.
        """
        encoder, tokenizer = pretrained_encoder(name_or_path)
        return cls(encoder, tokenizer, **cls._with_defaults(name_or_path, encoder, tokenizer, options))

    @classmethod
    def _with_defaults(
        cls, source: str | os.PathLike[str], encoder: TokenEncoder, tokenizer: TextTokenizer, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the arguments of the class: given options, and else the defaults of `encoder_options`."""
        given = {name: value for name, value in options.items() if name != "pooling" or value is not None}
        return cls._supported(encoder_options(source, encoder, tokenizer), encoder) | given

    @classmethod
    def _supported(cls, known: dict[str, Any], encoder: TokenEncoder) -> dict[str, Any]:
        """Return the results of `encoder_options` that are arguments of this class."""
        return known

    @classmethod
    def untrained(
        cls,
        tokenizer: TextTokenizer,
        sizes: NewEncoder = NewEncoder(),  # noqa: B008 (only read)
        **options: Any,
    ) -> Self:
        """Create a selector with new weights, to be trained; `options` are those of `from_encoder`."""
        return cls.build(tokenizer, {"encoder": sizes.config(tokenizer).to_dict(), **options})

    @classmethod
    def build(cls, tokenizer: TextTokenizer, options: dict[str, Any]) -> Self:
        others = dict(options)
        return cls(new_encoder(others.pop("encoder")), tokenizer, **others)

    def options(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.to_config(),
            "pooling": self.pooling,
            "max_context": self.layout.max_context,
            "max_candidate": self.layout.max_candidate,
            **({} if self.layout.speaker_types else {"speaker_types": False}),  # keeps the fingerprints of older models
        }

    def context_row(self, turns: Sequence[Sequence[int]], persona: Sequence[Sequence[int]] = ()) -> EncoderInput:
        """Return the row of a context from the token ids of its turns and persona sentences."""
        return self.layout.context(turns, persona)

    def _encode_batches(
        self, rows: Sequence[EncoderInput], encode: Callable[[EncoderBatch], tuple[Tensor, ...]], *, recompute: bool
    ) -> tuple[Tensor, ...]:
        padding = self.tokenizer.sep_token_id
        return encode_in_batches(rows, encode, pad_token_id=padding, device=self.device, recompute=recompute)


def pretrained_encoder(name_or_path: str | os.PathLike[str]) -> tuple[TokenEncoder, TextTokenizer]:
    """Load an encoder in float32, and its tokenizer. In the folder of a selector, this is the encoder of contexts.

    Raises:
        FileNotFoundError, ValueError: when there is no such folder or Hub name, or it has no transformers encoder.
    """
    if not (Path(name_or_path) / SELECTOR).is_file():
        folder = sentence_folder(name_or_path)
        source = name_or_path if folder is None else transformer_folder(folder)
        encoder = load_encoder(source)
        tokenizer = ConversationTokenizer.from_pretrained(source)
        rows = cast(nn.Embedding, encoder.hf_model.get_input_embeddings()).num_embeddings
        check_vocabulary(os.fspath(name_or_path), tokenizer.hf_tokenizer, rows, may_be_new=True)
        return encoder, tokenizer
    selector = Selector.from_pretrained(name_or_path, device="cpu", dtype="float32")
    if isinstance(selector, EncoderSelector):
        return selector.encoder, selector.tokenizer
    raise ValueError(f"{os.fspath(name_or_path)}: a {selector.kind} has no transformers encoder to train further")


def sentence_folder(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return the local folder of a model of sentence-transformers; None for other models."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        folder = local_folder(checked_source(name_or_path, weights=False))
    return folder if is_sentence_folder(folder) else None


def encoder_options(
    name_or_path: str | os.PathLike[str], encoder: TokenEncoder, tokenizer: TextTokenizer
) -> dict[str, Any]:
    """Return the arguments of `BiEncoder` that are saved with an encoder; {} for a plain transformers model.

    The name is that of a model of sentence-transformers or the folder of a selector.

    Raises:
        ValueError: see `sentence_options`.
    """
    if (Path(name_or_path) / SELECTOR).is_file():
        saved = read_config(Path(name_or_path))["options"]
        return {name: saved[name] for name in INHERITED if name in saved}
    folder = sentence_folder(name_or_path)
    return {} if folder is None else sentence_options(folder, tokenizer, encoder.positions)
