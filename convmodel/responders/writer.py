"""`Writer`, which generates replies, and `DocumentWriter`, which generates documents, each in its own thread."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from convmodel.generation.options import PRESETS
from convmodel.models.adapter_folder import AdaptedModel
from convmodel.models.conversation_inputs import ReplyInputs, rank_and_deduplicate
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_inputs import DocumentModelOutput
from convmodel.models.document_model import PRESETS as DOCUMENT_PRESETS
from convmodel.models.document_model import DocumentModel
from convmodel.models.rerankers import ScoredBy, scorer_name
from convmodel.models.text_generation import GeneratedText
from convmodel.responders.engine_worker import EngineWorker
from convmodel.responders.handles import GenerationHandle
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, Candidate, Names, Reply, Session


class Writer(EngineWorker[ConversationModel]):
    """Responder that generates replies to many conversations at once, with one model in its own thread.

    Several of the oldest turns of a context that exceeds the window are dropped at once, so that the cached keys and
    values of the rest can be reused for many turns. Requests with options that the engine does not support, such as
    beam search, run in transformers' `generate`, and other requests wait meanwhile.

    Args:
        model: a conversation model; its weights must not change afterwards.
        options: default options of a request, which override those of the model's `generation_config`.
        scorer: scorer that ranks the replies, if a request asks for several.
        keep: share of the window that remains filled when turns are dropped. With 1, only as many turns as necessary
            are dropped.
        max_running, max_kept, max_waiting, adapters: see `EngineWorker`.

    Example:
        >>> with Writer.from_pretrained("model") as writer:
        ...     for piece in writer.start(["Hello!"]):
        ...         print(piece, end="", flush=True)
    """

    model_class = ConversationModel
    noun = "reply"
    presets = PRESETS

    def __init__(
        self,
        model: ConversationModel,
        *,
        options: Mapping[str, Any] | None = None,
        scorer: ScoredBy = "likelihood",
        keep: float = 0.5,
        max_running: int = MAX_RUNNING,
        max_kept: int | None = None,
        max_waiting: int | None = MAX_WAITING,
        adapters: Mapping[str, AdaptedModel[ConversationModel]] | None = None,
    ) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep={keep}; allowed are numbers above 0 and at most 1")
        self._scorer = scorer
        self._keep = keep
        sizes: dict[str, Any] = {"max_running": max_running, "max_kept": max_kept, "max_waiting": max_waiting}
        super().__init__(model, options=options, adapters=adapters, **sizes)

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
        **names: Unpack[Names],
    ) -> GenerationHandle[Reply]:
        """Start a reply and return at once; see `Responder.start`."""
        decoding = self._decoding(options or {})
        pieces, drawn = self._draw(decoding, seed)
        scored = decoding.num_replies > 1 and self._scorer == "likelihood"
        inputs = self.model.prepare(
            context, persona, decoding, session=session, keep=self._keep, scored=scored, **drawn, **names
        )
        return self._submit(
            inputs.job,
            pieces,
            to_result=lambda handle, texts: self._to_reply(handle, texts, inputs, session),
            text_of=lambda reply: reply.text,
        )

    def count_tokens(self, context: Sequence[str], persona: Sequence[str] = ()) -> int:
        """See `ContextCounter.count_tokens`."""
        return len(self.model.tokenizer(context, persona=persona)["input_ids"])

    def _to_reply(
        self, handle: GenerationHandle[Reply], texts: list[GeneratedText], inputs: ReplyInputs, session: Session | None
    ) -> Reply:
        """Return the reply of a request, with its texts ranked; called in the thread that waits for the reply."""
        model = self.model
        scores = model.scores(inputs, texts, self._scorer) if len(texts) > 1 else None
        ranked = rank_and_deduplicate(texts, scores)
        if session is not None:
            lead = inputs.spoken.lead
            for text in texts:  # ids are not stored if they decode to another text, because it was cut
                if text.text.strip() and model.tokenizer.decode(text.ids).removeprefix(lead) == text.text:
                    session.ids[len(inputs.context), lead + text.text] = text.ids
        best, best_score = ranked[0]
        return Reply(
            tuple(Candidate(text.text, score, finish=text.finish, tokens=len(text.ids)) for text, score in ranked),
            finish=best.finish,
            context_tokens=len(handle.job.row.input_ids),
            reply_tokens=len(best.ids),
            window=model.n_positions,
            turns_dropped=inputs.turns_dropped,
            tokens_dropped=inputs.tokens_dropped,
            seconds=handle.seconds,
            first_seconds=handle.first_seconds,
            seed=handle.job.seed,
            ranked_by=scorer_name(self._scorer) if best_score is not None else "",
            cached_tokens=handle.cached_tokens,
            reasoning=best.reasoning,
        )


class DocumentWriter(EngineWorker[DocumentModel]):
    """Generator of many documents at once, with one model in its own thread; its arguments are `EngineWorker`'s.

    Example:
        >>> with DocumentWriter.from_pretrained("model") as writer:
        ...     for piece in writer.start("Once upon a time", meta="Cats, dogs"):
        ...         print(piece, end="", flush=True)
    """

    model_class = DocumentModel
    noun = "text"
    presets = DOCUMENT_PRESETS

    def start(
        self,
        prompt: str = "",
        *,
        meta: Any = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> GenerationHandle[DocumentModelOutput]:
        """Start the generation of documents and return at once; see `DocumentGenerator.start`."""
        decoding = self._decoding(options or {})
        pieces, drawn = self._draw(decoding, seed)
        inputs = self.model.prepare(prompt, meta, decoding, **drawn)
        return self._submit(
            inputs.job, pieces, to_result=lambda _, texts: inputs.output(texts), text_of=lambda output: output.texts[0]
        )
