"""The conversation model: a GPT-2 that generates and scores the next turn of a conversation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from convmodel.data.conversation import check_turns
from convmodel.generation.options import WindowBudget, reply_budget
from convmodel.generation.padded import ModelInput, score_rows
from convmodel.models.card import CONVERSATIONS
from convmodel.models.conversation_inputs import ReplyInputs, prepare, rank_and_deduplicate
from convmodel.models.folder import DOCUMENT_FILE, has_file
from convmodel.models.language_model import LanguageModel
from convmodel.models.rerankers import ScoredBy, score_candidates
from convmodel.models.text_generation import ROWS_PER_BATCH, GeneratedText, eval_mode, write
from convmodel.tokens.conversation_layout import lay_out_context, persona_length, place_separators
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer


@dataclass(frozen=True)
class ConversationModelOutput:
    """Generated replies to a context.

    Args:
        responses: one text for each returned sequence, without separators.
        context: the turns that the responses reply to.
        turns_dropped: number of oldest turns that did not fit into the model's window.
        scores: the score of each response if a scorer was given; the responses are then sorted by score, best first,
            without duplicates.
    """

    responses: list[str]
    context: list[str]
    turns_dropped: int = 0
    scores: list[float] | None = None


@dataclass(frozen=True)
class ConversationModelScores:
    """Log-likelihoods of C candidates as the reply, in nats: higher is better. The final separator counts as a token.

    Args:
        candidates: the C texts.
        summed: (C,) log-likelihood of each candidate.
        per_token: (C,) log-likelihood of each candidate divided by its number of tokens.
        num_tokens: (C,) number of tokens of each candidate, including the final separator.
    """

    candidates: list[str]
    summed: list[float]
    per_token: list[float]
    num_tokens: list[int]


class ConversationModel(LanguageModel[ConversationTokenizer]):
    """A GPT-2 that replies to conversations.

    Args:
        hf_model: the GPT-2. Its embeddings are resized if the tokenizer has more tokens than they have rows.
        tokenizer: the tokenizer that encodes and lays out turns.

    Example:
        >>> model = ConversationModel.from_pretrained("model")
        >>> model.generate(["Hello"]).responses[0]
        'Hi, how are you?'
    """

    tokenizer_class = ConversationTokenizer
    card_text = CONVERSATIONS

    @classmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """See `LanguageModel.read_extra_config`; a conversation model has no arguments of its own."""
        if has_file(source, DOCUMENT_FILE):
            raise ValueError(
                f"{source}: holds a model that writes documents, not one that replies; load it with "
                "DocumentModel.from_pretrained, or use it to continue prompts (python -m convmodel generate)"
            )
        return {}

    @property
    def _window_budget(self) -> WindowBudget:
        return reply_budget(self.n_positions)

    def generate(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        seed: int | None = None,
        scorer: ScoredBy | None = None,
        **options: Any,
    ) -> ConversationModelOutput:
        """Generate replies to a context.

        Args:
            context: the turns so far, oldest first. The oldest turns are dropped if the context does not fit.
            persona: sentences about the speaker who replies; never dropped.
            seed: with a seed the same request gives the same replies, alone or in any batch. Without one, seeds come
                from torch's global generator, so that `torch.manual_seed` makes a whole program reproducible.
            scorer: sorts the `num_return_sequences` replies, best first: "likelihood" per token, or an object with
                `score(context, candidates)`, such as `SelectorScorer`.
            options: all options of transformers' `generate` (`max_new_tokens`, `do_sample`, `num_beams`, `top_p`,
                `num_return_sequences`, `bad_words_ids`, `stop_strings`, ...) and those of this package, see
                docs/generation.md. Defaults come from `generation_config`.

        Raises:
            TypeError, ValueError: for a turn that is missing, empty or not a string, a reply that leaves no room for a
                turn, or an invalid option.
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
        """Generate replies to a batch of contexts; in fp32 they do not depend on the batch.

        Args:
            contexts: B contexts of any lengths.
            personas: one persona for each context, or None.
            seeds: one seed for each context, or None.
            scorer: see `generate`.
            options: see `generate`; they apply to all contexts.

        Returns:
            B outputs in the order of `contexts`.
        """
        if isinstance(contexts, str):
            raise TypeError(f"contexts is the text {contexts[:40]!r}; give a list of contexts, each a list of turns")
        for name, values in (("personas", personas), ("seeds", seeds)):
            if values is not None and len(values) != len(contexts):
                raise ValueError(f"{len(values)} {name} for {len(contexts)} contexts; give one each, or none")
        decoding = self.decoding(**options)
        unset = [None] * len(contexts)
        rows = zip(contexts, personas or [()] * len(contexts), seeds or unset, strict=True)
        inputs = [
            prepare(self._tokenizer, context, persona, decoding, seed=seed, scored=scorer == "likelihood")
            for context, persona, seed in rows
        ]
        replies = write(self._hf_model, self._tokenizer, [reply_inputs.job for reply_inputs in inputs])
        return [self._output(*pair, scorer) for pair in zip(inputs, replies, strict=True)]

    def _output(
        self, inputs: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy | None
    ) -> ConversationModelOutput:
        dropped = inputs.encoding.turns_dropped
        if scorer is None:
            return ConversationModelOutput([reply.text for reply in replies], inputs.context, dropped)
        ranked = rank_and_deduplicate(replies, self.scores(inputs, replies, scorer))
        scores = [score for _, score in ranked if score is not None]
        return ConversationModelOutput([reply.text for reply, _ in ranked], inputs.context, dropped, scores)

    def scores(self, inputs: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy) -> list[float]:
        """Return a scorer's scores of generated replies; blank replies get -inf from the scorers of this package.

        Raises:
            ValueError: when the scorer does not return a number for each reply.
        """
        texts = [reply.text for reply in replies]
        if scorer != "likelihood":
            return score_candidates(scorer, inputs.context, texts, persona=inputs.persona)
        if all(reply.per_token is not None for reply in replies):
            return [cast(float, reply.per_token) if reply.text.strip() else -math.inf for reply in replies]
        non_blank = [text for text in texts if text.strip()]
        if not non_blank:
            return [-math.inf] * len(texts)
        likelihoods = self.score(inputs.context, non_blank, persona=inputs.persona, cut=True).per_token
        by_text = dict(zip(non_blank, likelihoods, strict=True))
        return [by_text.get(text, -math.inf) for text in texts]

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = (), cut: bool = False
    ) -> ConversationModelScores:
        """Return the log-likelihood of each candidate as the reply to a context.

        Args:
            context: the turns so far. The oldest turns are dropped, for all candidates, if the longest candidate does
                not fit otherwise.
            candidates: C texts.
            persona: sentences about the speaker who replies.
            cut: whether to score a candidate that does not fit by its beginning, instead of raising an error.

        Raises:
            TypeError, ValueError: for a turn or candidate that is missing, empty, not a string, or does not fit.
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
        if cut:  # leave room for two separators, the final separator, and a token of the context
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
        with eval_mode(self._hf_model):
            for i in range(0, len(rows), ROWS_PER_BATCH):
                part = slice(i, i + ROWS_PER_BATCH)
                summed += score_rows(self._hf_model, rows[part], lengths[part], pad_token_id=sep)
        per_token = [total / n for total, n in zip(summed, lengths, strict=True)]
        return ConversationModelScores(candidates, summed, per_token, lengths)
