"""Logits and options of many replies in, their next tokens out; each as it would be chosen alone."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as processors

from convmodel.generation import penalties as repetition

WARPS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
"""Fields that shape what a sample is drawn from, each row by itself."""

UNDERSTOOD = frozenset(
    {
        *("do_sample", *WARPS),
        *("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"),
        *("max_new_tokens", "min_new_tokens", "eos_token_id", "bos_token_id", "pad_token_id"),
        *("num_return_sequences", "use_cache", "transformers_version"),
        *repetition.OPTIONS,
    }
)
"""The fields of a GenerationConfig that the engine follows; any other goes to transformers' `generate`."""


NEUTRAL_ONES = ("num_beams", "num_beam_groups", "length_penalty", "encoder_repetition_penalty", "guidance_scale")
"""Fields that ask for nothing when they are 1."""


def active_options(config: GenerationConfig) -> set[str]:
    """The fields of a configuration that ask for something; None, False and 0 do not."""
    usual = GenerationConfig()
    return {
        name
        for name, value in config.to_dict().items()
        if name != "_from_model_config"
        and value not in (None, False, getattr(usual, name, None))
        and not (value == 1 and name in NEUTRAL_ONES)
    }


def engine_supports(config: GenerationConfig) -> bool:
    """Whether everything that a configuration asks for is done here."""
    return active_options(config) <= UNDERSTOOD


class SequenceSampler:
    """How the tokens of one reply are chosen.

    Args:
        config: whole: every field that matters is set, `eos_token_id` is a list.
        context: the C tokens that the reply follows; penalties see them.
        seed: of this reply's own generator, so that neighbours change nothing; torch's global one draws it when None.
        device: of the logits.
        turns: ids of each turn of the conversation; see `repetition`.
        said: those of them that this speaker said.
        begun: ids of the text that the reply goes on.
    """

    def __init__(
        self,
        config: GenerationConfig,
        context: Sequence[int],
        seed: int | None,
        device: torch.device,
        *,
        turns: Sequence[Sequence[int]] = (),
        said: Sequence[Sequence[int]] = (),
        begun: Sequence[int] = (),
    ) -> None:
        self._tokens, self._context = list(context), len(context)
        self._least = config.min_new_tokens or 0
        self._penalties = _penalties(config)
        size, self._said_again, *losses = (getattr(config, name, None) or 0 for name in repetition.OPTIONS)
        self._ngrams = repetition.NGramBlocker(size, turns, begun) if size else None
        self._runs = repetition.SelfRepetitionPenalty(said) if self._said_again else None
        self._ends = frozenset(config.eos_token_id)
        self.written = repetition.FrequencyPenalty(*losses, ends=self._ends) if any(losses) else None
        """What tokens lose that were written before; None where they lose nothing."""
        self.warps = tuple((name, getattr(config, name)) for name in WARPS) if config.do_sample else None
        """What a sample is drawn with; None where nothing is sampled. Rows of equal warps are warped together."""
        self.generator: torch.Generator | None = None
        if config.do_sample:
            drawn = int(torch.randint(2**62, (1,))) if seed is None else seed
            self.generator = torch.Generator(device).manual_seed(drawn)

    @property
    def penalizes(self) -> bool:
        """Whether `penalize` changes the next token's logits."""
        return bool(self._penalties or self._must_go_on) or self._ngrams is not None or self._runs is not None

    @property
    def _must_go_on(self) -> bool:
        return len(self._tokens) - self._context < self._least

    def penalize(self, logits: Tensor) -> Tensor:
        """(1, V) logits in, which may be changed, (1, V) out."""
        if self._runs is not None:
            runs = {token: length for token, length in self._runs.runs().items() if token not in self._ends}
            if runs:
                lengths = torch.tensor(list(runs.values()), device=logits.device)
                logits[0, list(runs)] -= self._said_again * lengths
        if self._ngrams is not None:
            logits[0, list(self._ngrams.forbidden() - self._ends)] = -torch.inf
        if self._penalties:
            seen = torch.tensor([self._tokens], device=logits.device)
            # The processors are annotated with the tensor types of the past.
            logits = self._penalties(cast(torch.LongTensor, seen), cast(torch.FloatTensor, logits))
        if self._must_go_on:
            logits[0, self.ends_among(logits.shape[-1])] = -torch.inf
        return logits

    def ends_among(self, vocabulary: int) -> list[int]:
        """The tokens that end the reply; a configuration may name more than the model has."""
        return [token for token in self._ends if token < vocabulary]

    def take(self, token: int) -> None:
        """Remembers what was chosen."""
        self._tokens.append(token)
        for watching in (self._ngrams, self._runs, self.written):
            if watching is not None:
                watching.take(token)


@torch.inference_mode()
def sample(decoders: Sequence[SequenceSampler], logits: Tensor) -> list[int]:
    """The next token of each of B replies.

    Args:
        decoders: B of them.
        logits: (B, V) fp32.
    """
    scores = _penalized(decoders, logits)
    chosen = _likeliest(scores)
    alike: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for number, decoder in enumerate(decoders):
        if decoder.warps is not None:
            alike.setdefault(decoder.warps, []).append(number)
    for warps, numbers in alike.items():
        warped = _warpers(dict(warps))(cast(torch.LongTensor, scores), cast(torch.FloatTensor, scores[numbers]))
        rows = warped.softmax(-1)
        # A temperature that overflows makes a whole row NaN: then the likeliest token stays.
        for number, chances, broken in zip(numbers, rows, rows[:, 0].isnan().tolist(), strict=True):
            if not broken:
                chosen[number] = int(torch.multinomial(chances, 1, generator=decoders[number].generator))
    for decoder, token in zip(decoders, chosen, strict=True):
        decoder.take(token)
    return chosen


def _likeliest(scores: Tensor) -> list[int]:
    """The token of the highest score of each of (B, V); NumPy finds it many times quicker than torch on a CPU."""
    found: list[int] = (scores.numpy() if scores.device.type == "cpu" else scores).argmax(-1).tolist()
    return found


def _penalized(decoders: Sequence[SequenceSampler], logits: Tensor) -> Tensor:
    """(B, V) logits in, (B, V) out; where every token is forbidden, the reply ends."""
    scores = _less_what_was_written(decoders, logits)
    for number, decoder in enumerate(decoders):
        if decoder.penalizes:
            scores = logits.clone() if scores is logits else scores
            row = scores[number : number + 1]
            penalized = decoder.penalize(row)
            if penalized is not row:
                scores[number] = penalized[0]
    if scores is not logits:
        for number, best in enumerate(scores.amax(-1).tolist()):
            if best == -torch.inf:
                scores[number, decoders[number].ends_among(logits.shape[-1])] = 0
    return scores


def _less_what_was_written(decoders: Sequence[SequenceSampler], logits: Tensor) -> Tensor:
    """(B, V) logits in, (B, V) out, which are others where tokens lose something: of all replies at once."""
    rows, tokens, losses = list[int](), list[int](), list[float]()
    for number, decoder in enumerate(decoders):
        if decoder.written is not None:
            rows += [number] * len(decoder.written.losses)
            tokens += decoder.written.losses
            losses += decoder.written.losses.values()
    if not rows:
        return logits
    places = (torch.tensor(rows, device=logits.device), torch.tensor(tokens, device=logits.device))
    gains = torch.tensor(losses, dtype=logits.dtype, device=logits.device).neg()
    return logits.index_put(places, gains, accumulate=True)


# All of these are transformers' own, in transformers' own order.


def _penalties(config: GenerationConfig) -> LogitsProcessorList:
    found = LogitsProcessorList()
    if config.repetition_penalty not in (None, 1.0):
        found.append(processors.RepetitionPenaltyLogitsProcessor(float(config.repetition_penalty)))
    if config.no_repeat_ngram_size:
        found.append(processors.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    words = [word for word in config.bad_words_ids or () if len(word) != 1 or word[0] not in config.eos_token_id]
    if words:  # ends are never among them
        found.append(processors.NoBadWordsLogitsProcessor(words, config.eos_token_id))
    return found


def _warpers(values: Mapping[str, Any]) -> LogitsProcessorList:
    found = LogitsProcessorList()
    if values["temperature"] not in (None, 1.0):
        found.append(processors.TemperatureLogitsWarper(float(values["temperature"])))
    if values["top_k"]:
        found.append(processors.TopKLogitsWarper(values["top_k"]))
    if values["top_p"] is not None and values["top_p"] < 1.0:
        found.append(processors.TopPLogitsWarper(values["top_p"]))
    if values["min_p"] is not None:
        found.append(processors.MinPLogitsWarper(values["min_p"]))
    if values["typical_p"] is not None and values["typical_p"] < 1.0:
        found.append(processors.TypicalLogitsWarper(values["typical_p"]))
    return found
