"""The conversation model: a language model that generates and scores the next turn of a conversation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel

from convmodel.data.conversation import check_turns
from convmodel.generation.causal_lm import reads_token_types
from convmodel.generation.options import DecodingConfig, WindowBudget, reply_budget
from convmodel.generation.padded import first_decoder_token, score_rows
from convmodel.models.card import CONVERSATIONS
from convmodel.models.conversation_inputs import (
    ConversationModelOutput,
    ConversationModelScores,
    ReplyInputs,
    rank_and_deduplicate,
    to_input,
)
from convmodel.models.folder import CONVERSATION_FILE, DOCUMENT_FILE, has_file, local_file
from convmodel.models.language_model import LanguageModel, one_per_row
from convmodel.models.rerankers import Likelihood, ScoredBy, score_candidates
from convmodel.models.text_generation import ROWS_PER_BATCH, GeneratedText, eval_mode, make_job, write
from convmodel.tokens.context_ids import encode_named
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.layout_options import choose_for, read_layout_options, write_layout_options
from convmodel.tokens.session import Session
from convmodel.tokens.speakers import Context, name_speakers, own_turns

DECODER_TOKENS = 3
"""Largest number of tokens in an encoder-decoder's decoder in addition to a reply.

They are its first token, a token before the reply, and the end of the reply.
"""


class ConversationModel(LanguageModel[ConversationTokenizer]):
    """A language model that replies to conversations.

    Args:
        hf_model, tokenizer: see `LanguageModel`.
        layout_options: fields of `LayoutOptions`, which override those of the tokenizer's layout.

    Example:
        >>> model = ConversationModel.from_pretrained("model")
        >>> model.generate(["Hello"]).responses[0]
        'Hi, how are you?'
    """

    tokenizer_class = ConversationTokenizer
    card_text = CONVERSATIONS

    def __init__(self, hf_model: PreTrainedModel, tokenizer: ConversationTokenizer, **layout_options: Any) -> None:
        asked = layout_options.get("layout", tokenizer.layout_options.layout)
        layout_options["layout"] = choose_for(hf_model.config.is_encoder_decoder, asked)
        if hf_model.config.is_encoder_decoder:
            first_decoder_token(hf_model)  # raises its error now, not when the first reply is generated
        if not reads_token_types(hf_model):
            layout_options["token_types"] = False
        tokenizer.choose_layout(**layout_options)
        super().__init__(hf_model, tokenizer)
        self.card_text = replace(CONVERSATIONS, layout=tokenizer.layout.description)

    @property
    def _repr_parts(self) -> list[str]:
        return [f"layout {self.tokenizer.layout.name}"]

    @classmethod
    def read_extra_config(cls, source: str) -> dict[str, Any]:
        """See `LanguageModel.read_extra_config`. The options of the layout are empty without conversation.json."""
        if has_file(source, DOCUMENT_FILE):
            raise ValueError(
                f"{source}: holds a model that writes documents, not one that replies; load it with "
                "DocumentModel.from_pretrained, or use it to continue prompts (python -m convmodel generate)"
            )
        file = local_file(source, CONVERSATION_FILE)
        return {} if file is None else read_layout_options(file)

    def _write_extra_config(self, folder: Path) -> None:
        options = replace(self.tokenizer.layout_options, layout=self.tokenizer.layout.name)
        write_layout_options(options, folder / CONVERSATION_FILE)

    @property
    def _window_budget(self) -> WindowBudget:
        least = self.tokenizer.layout.costs.min_context()
        return reply_budget(self.n_positions, least, shared=not self._has_encoder)

    @property
    def _has_encoder(self) -> bool:
        """Whether an encoder reads the context, and a decoder with its own window writes the reply."""
        return bool(self.hf_model.config.is_encoder_decoder)

    def generate(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        speakers: Sequence[str] | None = None,
        speaker: str | None = None,
        seed: int | None = None,
        scorer: ScoredBy | None = None,
        **options: Any,
    ) -> ConversationModelOutput:
        """Generate replies to a context.

        Args:
            context: the turns so far, oldest first. The oldest turns are dropped if the context does not fit.
            persona: sentences about the speaker who replies; never dropped.
            speakers: the name of the speaker of each turn, in a conversation of several people.
            speaker: the name of the speaker who replies; required if `speakers` has more than two different names.
            seed: with a seed, the same request gives the same replies, alone or in any batch. Without a seed, it is
                drawn from torch's global generator, so that `torch.manual_seed` makes a program reproducible.
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
        names = None if speakers is None else [speakers]
        replier = None if speaker is None else [speaker]
        rows: dict[str, Any] = {"personas": [persona], "speakers": names, "speaker": replier, "seeds": seeds}
        return self.generate_batch([context], **rows, scorer=scorer, **options)[0]

    def generate_batch(
        self,
        contexts: Sequence[Sequence[str]],
        *,
        personas: Sequence[Sequence[str]] | None = None,
        speakers: Sequence[Sequence[str] | None] | None = None,
        speaker: Sequence[str | None] | None = None,
        seeds: Sequence[int] | None = None,
        scorer: ScoredBy | None = None,
        **options: Any,
    ) -> list[ConversationModelOutput]:
        """Generate replies to a batch of contexts. In float32 they do not depend on the other contexts.

        Args:
            contexts: B contexts of any lengths.
            personas, speakers, speaker, seeds: a list with the argument of `generate` for each context, or None.
            scorer, options: see `generate`; they apply to all contexts.
        """
        if isinstance(contexts, str):
            raise TypeError(f"contexts is the text {contexts[:40]!r}; give a list of contexts, each a list of turns")
        given = {"personas": personas, "speakers": speakers, "speaker": speaker, "seeds": seeds}
        defaults = {"personas": ()}
        columns: list[Any] = [
            one_per_row(name, values, "contexts", len(contexts), defaults.get(name)) for name, values in given.items()
        ]
        decoding = self.decoding(**options)
        scored = scorer == "likelihood"
        inputs = [
            self.prepare(turns, persona, decoding, speakers=names, speaker=name, seed=seed, scored=scored)
            for turns, persona, names, name, seed in zip(contexts, *columns, strict=True)
        ]
        replies = write(self.hf_model, self.tokenizer, [reply_inputs.job for reply_inputs in inputs])
        return [self._output(*pair, scorer) for pair in zip(inputs, replies, strict=True)]

    def prepare(
        self,
        context: Sequence[str],
        persona: Sequence[str],
        decoding: DecodingConfig,
        *,
        speakers: Sequence[str] | None = None,
        speaker: str | None = None,
        seed: int | None = None,
        session: Session | None = None,
        keep: float = 1.0,
        scored: bool = False,
        sink: Callable[[str], None] | None = None,
    ) -> ReplyInputs:
        """Lay out a context and create a generation job for its replies; see `generate` for other arguments and errors.

        Args:
            session: the generated token ids of earlier replies, which are used instead of encoding their texts.
            keep: the share of the window that is kept when turns are dropped; below 1 turns are dropped less often, but
                more at once. See `turn_windows.truncate_with_hysteresis`.
            scored: whether to compute the likelihoods of the replies.
            sink: a function called with each piece of the first reply that has become final.
        """
        spoken = self._name(context, speakers, speaker)
        sentences = check_turns(persona, what="persona sentence")
        if self._has_encoder:
            keep = 1.0  # an encoder caches nothing, so that the beginning of a context need not stay the same
            session = None
        ids, persona_ids, opening = encode_named(self.tokenizer, spoken, sentences, session)
        laid_out, window = self.tokenizer.layout.lay_out_context(
            ids,
            persona=persona_ids,
            max_length=decoding.context_limit,
            keep=keep,
            speakers=spoken.numbers,
            opening=opening,
        )
        job = make_job(
            self.tokenizer,
            to_input(laid_out),
            decoding,
            seed=seed,
            scored=scored,
            sink=sink,
            history_ids=ids,
            own_turn_ids=ids[-2::-2] if spoken.numbers is None else own_turns(ids, spoken.numbers),
            reasoning=self.tokenizer.layout.reasoning,
            lead=spoken.lead,
        )
        tokens_dropped = window.cut + sum(map(len, ids[: window.first]))
        given = {"context": context, "speakers": speakers, "speaker": speaker}
        return ReplyInputs(spoken, list(sentences), job, window.first, tokens_dropped, given)

    def _name(self, context: Sequence[str], speakers: Sequence[str] | None, speaker: str | None) -> Context:
        """Check a context, and return it with its speakers in the form that the layout needs."""
        keep = self.tokenizer.layout.max_speakers > 2
        named = name_speakers(check_turns(context), speakers, speaker, keep=keep)
        # If the model reasons first, or has its own decoder, the reply does not directly follow the speaker's name.
        is_apart = self.tokenizer.layout_options.reasoning or self._has_encoder
        return replace(named, opening="") if is_apart else named

    def _output(
        self, inputs: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy | None
    ) -> ConversationModelOutput:
        scores = None if scorer is None else self.scores(inputs, replies, scorer)
        if scores is not None:
            ranked = rank_and_deduplicate(replies, scores)
            replies = [reply for reply, _ in ranked]
            scores = [score for _, score in ranked if score is not None]
        return ConversationModelOutput([reply.text for reply in replies], inputs.context, inputs.turns_dropped, scores)

    def scores(self, inputs: ReplyInputs, replies: Sequence[GeneratedText], scorer: ScoredBy) -> list[float]:
        """Return a scorer's scores of generated replies. The scorers of this package give blank replies -inf.

        Args:
            inputs: the context of the replies.
            replies: the generated replies.
            scorer: see `generate`.

        Raises:
            ValueError: when the scorer does not return a number for each reply.
        """
        if scorer == "likelihood":
            if all(reply.per_token is not None for reply in replies):
                return [cast(float, reply.per_token) if reply.text.strip() else -math.inf for reply in replies]
            return Likelihood(self).score(
                candidates=[reply.text for reply in replies], persona=inputs.persona, **inputs.given
            )
        return score_candidates(scorer, inputs.context, [reply.text for reply in replies], persona=inputs.persona)

    def score(
        self,
        context: Sequence[str],
        candidates: Sequence[str],
        *,
        persona: Sequence[str] = (),
        speakers: Sequence[str] | None = None,
        speaker: str | None = None,
        cut: bool = False,
    ) -> ConversationModelScores:
        """Return the log-likelihood of each of C candidates as the reply to a context.

        Args:
            context: the turns so far, oldest first. If the longest candidate does not fit, the oldest turns are dropped
                for all candidates.
            candidates: C replies.
            persona: sentences about the speaker who replies.
            speakers, speaker: see `generate`.
            cut: whether to score only the beginning of a candidate that does not fit, instead of raising an error.

        Raises:
            TypeError, ValueError: for a turn or candidate that is missing, empty, not a string, or does not fit.
        """
        candidates = list(check_turns(candidates, what="candidate"))
        if not candidates:
            raise ValueError("there are no candidates; give at least one")
        layout = self.tokenizer.layout
        spoken = self._name(context, speakers, speaker)
        turns, sentences, opening = encode_named(self.tokenizer, spoken, check_turns(persona, what="persona sentence"))
        replies = self.tokenizer.encode_replies(candidates, lead=spoken.lead)
        least = layout.costs.persona_length(sentences) + layout.costs.min_context(persona=bool(sentences)) + 1
        room = max(1, self.n_positions - (DECODER_TOKENS if self._has_encoder else least + len(opening)))
        if cut:  # leave room for the smallest context, and the end of the reply
            replies = [ids[:room] for ids in replies]
        longest = max(map(len, replies))
        if self._has_encoder and longest > room:
            raise ValueError(f"a candidate has {longest} tokens, and the decoder reads {room}; shorten it (cut=True)")
        base, _ = layout.lay_out_context(
            turns,
            persona=sentences,
            max_length=self.n_positions,
            reserved=0 if self._has_encoder else longest + 1,
            speakers=spoken.numbers,
            opening=opening,
        )
        rows = [to_input(layout.append_reply(base, ids)) for ids in replies]
        lengths = [len(row.input_ids) - len(base.input_ids) for row in rows]
        summed: list[float] = []
        with eval_mode(self.hf_model):
            for i in range(0, len(rows), ROWS_PER_BATCH):
                part = slice(i, i + ROWS_PER_BATCH)
                summed += score_rows(self.hf_model, rows[part], lengths[part], pad_token_id=layout.pad_token_id)
        return ConversationModelScores(
            candidates, summed, [s / n for s, n in zip(summed, lengths, strict=True)], lengths
        )
