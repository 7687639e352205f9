"""Turns in, replies out: a GPT-2 with its conversation tokenizer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from convmodel.data.conversation import check_turns
from convmodel.generation.options import WindowBudget, room_for_replies
from convmodel.generation.padded import ModelInput, score_rows
from convmodel.models.card import CONVERSATIONS
from convmodel.models.conversation_inputs import ReplyInputs, prepare, rank_and_deduplicate
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.language_model import LanguageModel
from convmodel.models.rerankers import ScoredBy, scores_of
from convmodel.models.text_generation import ROWS_PER_BATCH, GeneratedText, evaluating, write
from convmodel.tokens.conversation_layout import lay_out_context, persona_length, place_separators
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer


@dataclass(frozen=True)
class ConversationModelOutput:
    """What a model replied.

    Args:
        responses: one text for each returned sequence, without separators.
        context: the turns that were replied to.
        turns_dropped: how many of the oldest turns did not fit into the model's window.
        scores: of each response, where a scorer was given; then the best stands first, and no text twice.
    """

    responses: list[str]
    context: list[str]
    turns_dropped: int = 0
    scores: list[float] | None = None


@dataclass(frozen=True)
class ConversationModelScores:
    """Log-likelihoods of C candidates as the reply, in nats: higher is better. The end of the turn counts as a token.

    Args:
        candidates: the C texts.
        summed: (C,) log-likelihood of each candidate's tokens.
        per_token: (C,) the same divided by the number of tokens.
        num_tokens: (C,) tokens of each candidate, the separator that ends it included.
    """

    candidates: list[str]
    summed: list[float]
    per_token: list[float]
    num_tokens: list[int]


class ConversationModel(LanguageModel[ConversationTokenizer]):
    """Replies to conversations with a GPT-2.

    Args:
        hf_model: the GPT-2. Its embeddings grow when the tokenizer has more tokens than they have rows.
        tokenizer: lays turns out for it.

    Example:
        >>> model = ConversationModel.from_pretrained("model")
        >>> model.generate(["Hello"]).responses[0]
        'Hi, how are you?'
    """

    tokenizer_class = ConversationTokenizer
    described = CONVERSATIONS

    @classmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        if has_file(source, DOCUMENT_FILE):
            raise ValueError(
                f"{source}: holds a model that writes documents, not one that replies; load it with "
                "DocumentModel.from_pretrained, or let it go on with prompts (python -m convmodel generate)"
            )
        return {}

    @property
    def _room(self) -> WindowBudget:
        return room_for_replies(self.n_positions)

    def generate(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        seed: int | None = None,
        scorer: ScoredBy | None = None,
        **options: Any,
    ) -> ConversationModelOutput:
        """Writes replies to a context.

        Args:
            context: the turns so far, oldest first. Whole oldest turns are left out when they do not fit.
            persona: sentences about the one who replies; always kept.
            seed: with it the same request gives the same replies, alone or in any batch. Without one, seeds come from
                torch's global generator, so that `torch.manual_seed` repeats a whole program.
            scorer: puts the best of `num_return_sequences` replies first: "likelihood" per token, or an object with
                `score(context, candidates)`, such as `SelectorScorer`.
            options: every option of transformers' `generate` (`max_new_tokens`, `do_sample`, `num_beams`, `top_p`,
                `num_return_sequences`, `bad_words_ids`, `stop_strings`, ...), and ours: see docs/generation.md. What is
                not given comes from `generation_config`.

        Raises:
            TypeError, ValueError: when a turn is missing, empty or no text, or the reply leaves no room for a turn, or
                an option has a value that means nothing.
        """
        seeds = None if seed is None else [seed]
        return self.generate_batch([context], personas=[persona], seeds=seeds, scorer=scorer, **options)[0]

    def generate_batch(
        self,
        contexts: Sequence[Sequence[str]],
        *,
        personas: Sequence[Sequence[str]] | None = None,
        seeds: Sequence[int] | None = None,
        scorer: ScoredBy | None = None,
        **options: Any,
    ) -> list[ConversationModelOutput]:
        """Writes replies to many contexts at once; in fp32 each is what it would be alone.

        Args:
            contexts: B contexts of any lengths.
            personas: one persona for each context, or none.
            seeds: one for each context, or none.
            scorer: as for `generate`.
            options: as for `generate`; they hold for all contexts.

        Returns:
            B outputs in the order of `contexts`.
        """
        if isinstance(contexts, str):
            raise TypeError(f"contexts is the text {contexts[:40]!r}; give a list of contexts, each a list of turns")
        for name, given in (("personas", personas), ("seeds", seeds)):
            if given is not None and len(given) != len(contexts):
                raise ValueError(f"{len(given)} {name} for {len(contexts)} contexts; give one each, or none")
        how = self.decoding(**options)
        nothing = [None] * len(contexts)
        each = zip(contexts, personas or [()] * len(contexts), seeds or nothing, strict=True)
        prepared = [
            prepare(self._tokenizer, context, persona, how, seed=seed, scored=scorer == "likelihood")
            for context, persona, seed in each
        ]
        found = write(self._hf_model, self._tokenizer, [one.prepared for one in prepared])
        return [self._output(one, replies, scorer) for one, replies in zip(prepared, found, strict=True)]

    def _output(
        self, prepared: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy | None
    ) -> ConversationModelOutput:
        dropped = prepared.encoding.turns_dropped
        if scorer is None:
            return ConversationModelOutput([reply.text for reply in replies], prepared.context, dropped)
        ranked = rank_and_deduplicate(replies, self.scores(prepared, replies, scorer))
        scores = [score for _, score in ranked if score is not None]
        return ConversationModelOutput([reply.text for reply, _ in ranked], prepared.context, dropped, scores)

    def scores(self, prepared: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy) -> list[float]:
        """What a scorer finds of replies; one without text is the worst.

        Raises:
            ValueError: when the scorer gives something else than a number for each.
        """
        texts = [reply.text for reply in replies]
        if scorer != "likelihood":
            return scores_of(scorer, prepared.context, texts, persona=prepared.persona)
        if all(reply.per_token is not None for reply in replies):
            return [cast(float, reply.per_token) if reply.text.strip() else -math.inf for reply in replies]
        said = [text for text in texts if text.strip()]
        likely = self.score(prepared.context, said, persona=prepared.persona, cut=True).per_token if said else []
        by_text = dict(zip(said, likely, strict=True))
        return [by_text.get(text, -math.inf) for text in texts]

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = (), cut: bool = False
    ) -> ConversationModelScores:
        """How likely the model finds each candidate as the reply to a context.

        Args:
            context: the turns so far. Where the longest candidate needs it, oldest turns are left out for all.
            candidates: C texts.
            persona: sentences about the one who replies.
            cut: scores a candidate that does not fit by its beginning, in place of refusing it.

        Raises:
            TypeError, ValueError: when a turn or candidate is missing, empty or no text, or does not fit.
        """
        candidates = list(check_turns(candidates, what="candidate"))
        if not candidates:
            raise ValueError("there are no candidates; give at least one")
        sep = self._tokenizer.sep_token_id
        sentences, turns, replies = (
            self._tokenizer.encode_many(texts)
            for texts in (
                check_turns(persona, what="persona sentence"),
                check_turns(context),
                candidates,
            )
        )
        if cut:  # two separators, the end, and a token of the context beside it
            replies = [ids[: max(1, self.n_positions - persona_length(sentences) - 4)] for ids in replies]
        base, _ = lay_out_context(
            turns, sep, persona=sentences, max_length=self.n_positions, reserved=max(map(len, replies)) + 1
        )
        reply_type = base.token_type_ids[-1]
        rows = [
            ModelInput(
                [*base.input_ids, *place_separators([ids], sep, leading=False)],
                [*base.token_type_ids, *[reply_type] * len(ids), 1 - reply_type],
            )
            for ids in replies
        ]
        lengths = [len(ids) + 1 for ids in replies]
        summed: list[float] = []
        with evaluating(self._hf_model):
            for i in range(0, len(rows), ROWS_PER_BATCH):
                part = slice(i, i + ROWS_PER_BATCH)
                summed += score_rows(self._hf_model, rows[part], lengths[part], pad_token_id=sep)
        per_token = [total / n for total, n in zip(summed, lengths, strict=True)]
        return ConversationModelScores(candidates, summed, per_token, lengths)
