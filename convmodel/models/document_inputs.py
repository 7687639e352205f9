"""Inputs and outputs of the document model: prompts laid out as generation jobs, generated texts, and likelihoods."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

from convmodel.data.document import Meta, format_meta
from convmodel.generation.options import DecodingConfig
from convmodel.generation.request import Finish
from convmodel.models.html_table import html_table
from convmodel.models.text_generation import GeneratedText, GenerationJob
from convmodel.tokens.document_tokenizer import DocumentEncoding


@dataclass(frozen=True)
class DocumentModelOutput:
    """Generated continuations of a prompt.

    Args:
        texts: the generated continuations, without the prompt and separators.
        prompt: the beginning of the documents.
        meta: the metadata of the documents.
        finishes: for each text, the reason for its end: "end", "stop" (a stop string), "length" or "cancelled".
        tokens: number of generated tokens of each text.
        ids: ids of the generated tokens of each text, without the final separator.
        scores: log-likelihood per token of each text under the model itself, including the final separator, in nats;
            None for a single text, and for texts from transformers' `generate`.
        tokens_read: number of tokens of prompt, meta and separators in the model's input.
        tokens_dropped: number of oldest prompt tokens that did not fit into the window.
        meta_tokens_dropped: number of last meta tokens beyond the model's `max_meta_length`.
        seed: the seed that reproduces the texts; None if nothing was sampled.
    """

    texts: list[str]
    prompt: str = ""
    meta: Meta | None = None
    finishes: Sequence[Finish] = ()
    tokens: Sequence[int] = ()
    ids: Sequence[Sequence[int]] = ()
    scores: Sequence[float | None] = field(default=(), compare=False)  # their last digits depend on the batch
    tokens_read: int = 0
    tokens_dropped: int = 0
    meta_tokens_dropped: int = 0
    seed: int | None = None

    def _repr_html_(self) -> str:
        """Return a table of the texts, with their scores if there are any, below meta and prompt."""
        rows = zip(self.texts, self.scores or repeat(None), strict=False)
        above = [text for text in (format_meta(self.meta), self.prompt) if text]
        return html_table(({"text": text, "score": score} for text, score in rows), above=above)

    @property
    def documents(self) -> list[str]:
        """The whole documents: the prompt followed by each text."""
        return [self.prompt + text for text in self.texts]


@dataclass(frozen=True)
class DocumentModelScores:
    """Likelihoods of B bodies; the final separator of a body counts as a token.

    Args:
        nats: (B,) negative log-likelihood of each body.
        tokens: (B,) number of predicted tokens of each body, including the final separator.
        words: (B,) number of words, separated by white space, of each body.
        bytes: (B,) number of bytes of each body in UTF-8.
    """

    nats: list[float]
    tokens: list[int]
    words: list[int]
    bytes: list[int]

    @property
    def perplexity(self) -> float:
        """The perplexity over the predicted tokens of all bodies."""
        return math.exp(min(sum(self.nats) / sum(self.tokens), 700))


@dataclass(frozen=True, slots=True)
class DocumentInputs:
    """A laid-out prompt and meta, ready for generation.

    Args:
        prompt: the beginning of the documents.
        meta: the metadata of the documents.
        encoding: the laid-out token ids.
        job: the generation job of the continuations.
    """

    prompt: str
    meta: Meta | None
    encoding: DocumentEncoding
    job: GenerationJob

    def output(self, texts: Sequence[GeneratedText]) -> DocumentModelOutput:
        """Return the output for the generated texts."""
        return DocumentModelOutput(
            [text.text for text in texts],
            self.prompt,
            self.meta,
            finishes=[text.finish for text in texts],
            tokens=[len(text.ids) for text in texts],
            ids=[text.ids for text in texts],
            scores=[text.per_token for text in texts],
            tokens_read=len(self.encoding["input_ids"]),
            tokens_dropped=self.encoding.tokens_dropped,
            meta_tokens_dropped=self.encoding.meta_tokens_dropped,
            seed=self.job.seed,
        )


def no_room(decoding: DecodingConfig, meta: int, has_prompt: bool, max_body_length: int | None) -> str:
    """Return the error message for a prompt or a meta that does not fit into the window.

    Args:
        decoding: the decoding configuration, which limits the input.
        meta: number of tokens of the meta.
        has_prompt: whether there is a prompt.
        max_body_length: see `DocumentModel`.
    """
    limit = decoding.config.max_new_tokens
    option = f"max_new_tokens={limit}" if limit is not None else f"max_length={decoding.config.max_length}"
    if has_prompt:
        text = f"a prompt beside the meta's {meta} tokens" if meta else "a prompt"
    else:
        text = f"the meta of {meta} tokens" if meta else "the meta"
    body = f" (max_body_length={max_body_length})" if max_body_length is not None else ""
    change = "fewer" if limit is not None else "more"
    shorter = ", or a shorter meta" if meta else ""
    return f"{option} leaves no room for {text}{body}; ask for {change}{shorter}"
