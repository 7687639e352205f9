"""Inputs and outputs of the document model: prompts laid out as generation jobs, and the texts generated for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from convmodel.data.document import Meta, check_meta, format_meta
from convmodel.data.prompts import check_prompt
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import ModelInput
from convmodel.generation.request import Finish
from convmodel.models.text_generation import GeneratedText, GenerationJob, make_job
from convmodel.tokens.document_tokenizer import DocumentEncoding, DocumentTokenizer


@dataclass(frozen=True)
class DocumentModelOutput:
    """Generated continuations of a prompt.

    Args:
        texts: the continuation in each returned sequence, without the prompt and separators.
        prompt: the beginning of the documents.
        meta: the metadata of the documents.
        finishes: why each text ended: "end", "stop" (a stop string), "length" or "cancelled".
        tokens: number of tokens generated for each text.
        ids: the generated token ids of each text, without the final separator.
        scores: log-likelihood per token of each text under the model itself, including the final separator, in nats;
            None for a single text, and for texts from transformers' `generate`.
        tokens_read: number of tokens of prompt, meta and separators in the model's input.
        tokens_dropped: number of oldest prompt tokens that did not fit.
        meta_tokens_dropped: number of last meta tokens beyond the model's `max_meta_length`.
        seed: the seed with which the same request gives the same texts; None if nothing was sampled.
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

    @property
    def documents(self) -> list[str]:
        """The whole documents: the prompt followed by each text."""
        return [self.prompt + text for text in self.texts]


@dataclass(frozen=True, slots=True)
class DocumentInputs:
    """A prompt that is laid out and ready for generation.

    Args:
        prompt: the beginning of the document.
        meta: the metadata of the document.
        encoding: the token ids of meta and prompt.
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


def prepare(
    tokenizer: DocumentTokenizer,
    prompt: str,
    meta: object,
    decoding: DecodingConfig,
    *,
    max_meta_length: int,
    max_body_length: int | None = None,
    seed: int | None = None,
    sink: Callable[[str], None] | None = None,
) -> DocumentInputs:
    """Lay a prompt out and create a generation job for its continuations.

    Args:
        tokenizer: the model's tokenizer.
        prompt: the beginning of the document.
        meta: the metadata of the document.
        decoding: the decoding configuration of the continuations.
        max_meta_length: largest number of tokens of the meta.
        max_body_length: largest number of tokens of prompt and continuation together; None allows what fits the window.
        seed: seed of the texts; None draws one from torch's global generator if anything is sampled.
        sink: a function called with the next characters of the first text as they become final.

    Raises:
        TypeError, ValueError: for an invalid prompt or meta, a prompt or meta without room in the window, or a seed out
            of range.
    """
    prompt = check_prompt(prompt)
    checked_meta = check_meta(meta)
    meta_ids, prompt_ids = tokenizer.encode_many([format_meta(checked_meta), prompt])
    kept = meta_ids[:max_meta_length]
    room = decoding.context_limit - 2 - len(kept)
    if max_body_length is not None:
        room = min(room, max_body_length - (decoding.config.max_new_tokens or 1))
    if room < min(1, len(prompt_ids)):
        raise ValueError(_no_room(decoding, len(kept), bool(prompt_ids), max_body_length))
    encoding = tokenizer.encode_ids(prompt_ids, meta=kept, room=room, meta_tokens_dropped=len(meta_ids) - len(kept))
    row = ModelInput(encoding["input_ids"], None)
    scored = decoding.num_replies > 1
    job = make_job(tokenizer, row, decoding, seed=seed, scored=scored, sink=sink, prefix_ids=prompt_ids)
    return DocumentInputs(prompt, checked_meta, encoding, job)


def _no_room(decoding: DecodingConfig, meta: int, has_prompt: bool, max_body_length: int | None) -> str:
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
