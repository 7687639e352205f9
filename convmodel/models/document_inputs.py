"""A prompt, a meta and options in, the engine's requests out; and what was written, for whoever asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from convmodel.data.document import Meta, check_meta, meta_text
from convmodel.data.prompts import check_prompt
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import ModelInput
from convmodel.generation.request import Finish
from convmodel.models.text_generation import GeneratedText, GenerationJob, make_job
from convmodel.tokens.document_tokenizer import DocumentEncoding, DocumentTokenizer


@dataclass(frozen=True)
class DocumentModelOutput:
    """What a model wrote.

    Args:
        texts: for each returned sequence what follows the prompt, without separators.
        prompt: how the documents begin.
        meta: what is known of them.
        finishes: why each text is over: "end", "stop" (a stop string), "length" or "cancelled".
        tokens: how many were written of each.
        ids: what they are, without the one that ends a text.
        scores: of each, its log-likelihood for each token under the model itself, its end included, in nats; None of
            a single text, and where transformers' `generate` wrote it.
        tokens_read: prompt, meta and separators as they were read.
        tokens_dropped: how many of the prompt's oldest tokens did not fit.
        meta_tokens_dropped: how many of the meta's last tokens are more than the model reads.
        seed: with it the same request gives the same texts; None where nothing was drawn.
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
        """The prompt with each text."""
        return [self.prompt + text for text in self.texts]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document that is ready to be gone on with.

    Args:
        prompt: how it begins.
        meta: what is known of it.
        encoding: both, laid out.
        prepared: what is asked of the engine.
    """

    prompt: str
    meta: Meta | None
    encoding: DocumentEncoding
    prepared: GenerationJob

    def output(self, written: Sequence[GeneratedText]) -> DocumentModelOutput:
        """What became of it."""
        return DocumentModelOutput(
            [text.text for text in written],
            self.prompt,
            self.meta,
            finishes=[text.finish for text in written],
            tokens=[len(text.ids) for text in written],
            ids=[text.ids for text in written],
            scores=[text.per_token for text in written],
            tokens_read=len(self.encoding["input_ids"]),
            tokens_dropped=self.encoding.tokens_dropped,
            meta_tokens_dropped=self.encoding.meta_tokens_dropped,
            seed=self.prepared.seed,
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
) -> PreparedDocument:
    """Lays a prompt out and makes a request for each of its continuations.

    Args:
        tokenizer: of the model.
        prompt: how the document begins.
        meta: what is known of it.
        decoding: of the continuations.
        max_meta_length: tokens of the meta at most.
        max_body_length: tokens of prompt and continuation together at most; None is what fits the window.
        seed: drawn from torch's global generator when None and something is sampled.
        sink: called with pieces of the first text as they become certain.

    Raises:
        TypeError, ValueError: for a prompt or meta that is none, one that finds no room, or a seed out of range.
    """
    prompt, known = check_prompt(prompt), check_meta(meta)
    meta_ids, prompt_ids = tokenizer.encode_many([meta_text(known), prompt])
    kept = meta_ids[:max_meta_length]
    room = decoding.context_limit - 2 - len(kept)
    if max_body_length is not None:
        room = min(room, max_body_length - (decoding.config.max_new_tokens or 1))
    if room < min(1, len(prompt_ids)):
        raise ValueError(_no_room(decoding, len(kept), bool(prompt_ids), max_body_length))
    encoding = tokenizer.arrange(prompt_ids, meta=kept, room=room, meta_tokens_dropped=len(meta_ids) - len(kept))
    row = ModelInput(encoding["input_ids"], None)
    several = decoding.replies > 1
    prepared = make_job(tokenizer, row, decoding, seed=seed, scored=several, sink=sink, begun=prompt_ids)
    return PreparedDocument(prompt, known, encoding, prepared)


def _no_room(decoding: DecodingConfig, meta: int, has_prompt: bool, max_body_length: int | None) -> str:
    limit = decoding.config.max_new_tokens
    asked = f"max_new_tokens={limit}" if limit is not None else f"max_length={decoding.config.max_length}"
    what = "a prompt" if has_prompt else "the meta"
    beside = f" beside the meta's {meta} tokens" if meta and has_prompt else f" of {meta} tokens" if meta else ""
    body = f" (max_body_length={max_body_length})" if max_body_length is not None else ""
    change = "fewer" if limit is not None else "more"
    shorter = ", or a shorter meta" if meta else ""
    return f"{asked} leaves no room for {what}{beside}{body}; ask for {change}{shorter}"
