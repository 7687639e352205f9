"""Sample the next tokens of many replies from their logits, each the same as if it were sampled alone."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as processors

from convmodel.generation import penalties
from convmodel.generation.request import GenerationRequest

WARPS = ("temperature", "top_k", "top_p", "min_p", "typical_p")
"""Options of a GenerationConfig that shape the distribution of a sample."""


class SequenceSampler:
    """Sampler of the tokens of one reply.

    Args:
        request: the request, in whose configuration `eos_token_id` is a list. Without a seed, the reply's own generator
            is seeded from torch's global generator.
        device: device of the logits.
    """

    def __init__(self, request: GenerationRequest, device: torch.device) -> None:
        config = request.config
        self._tokens = list(request.input_ids)
        self._context_length = len(request.input_ids)
        self._min_new_tokens = config.min_new_tokens or 0
        self._penalties = _penalties(config)
        size, self._self_repetition, *by_count = (getattr(config, name, None) or 0 for name in penalties.OPTIONS)
        self._ngrams = penalties.NGramBlocker(size, request.history_ids, request.prefix_ids) if size else None
        self._runs = penalties.SelfRepetitionPenalty(request.own_turn_ids) if self._self_repetition else None
        self._ends = frozenset(config.eos_token_id)
        self.frequency_penalty = penalties.FrequencyPenalty(*by_count, ends=self._ends) if any(by_count) else None
        """Penalties of tokens by their count in the reply; None without such penalties."""
        self.warps = tuple(getattr(config, name) for name in WARPS) if config.do_sample else None
        """Values of the options that shape the distribution; None for greedy decoding."""
        self.generator: torch.Generator | None = None
        if config.do_sample:
            seed = int(torch.randint(2**62, (1,))) if request.seed is None else request.seed
            self.generator = torch.Generator(device).manual_seed(seed)

    @property
    def penalizes(self) -> bool:
        """Whether `penalize` changes the next token's logits."""
        return bool(self._penalties or self._must_continue) or self._ngrams is not None or self._runs is not None

    @property
    def _must_continue(self) -> bool:
        return len(self._tokens) - self._context_length < self._min_new_tokens

    def penalize(self, logits: Tensor) -> Tensor:
        """Return penalised logits (1, V); the argument (1, V) may be changed in place."""
        if self._runs is not None:
            runs = {token: length for token, length in self._runs.run_lengths().items() if token not in self._ends}
            if runs:
                lengths = torch.tensor(list(runs.values()), device=logits.device)
                logits[0, list(runs)] -= self._self_repetition * lengths
        if self._ngrams is not None:
            logits[0, list(self._ngrams.forbidden() - self._ends)] = -torch.inf
        if self._penalties:
            seen = torch.tensor([self._tokens], device=logits.device)
            # The processors are annotated with legacy tensor types.
            logits = self._penalties(cast(torch.LongTensor, seen), cast(torch.FloatTensor, logits))
        if self._must_continue:
            logits[0, self.ends_among(logits.shape[-1])] = -torch.inf
        return logits

    def ends_among(self, vocabulary: int) -> list[int]:
        """Return the end tokens with ids below `vocabulary`; a configuration may name ids that the model lacks."""
        return [token for token in self._ends if token < vocabulary]

    def append(self, token: int) -> None:
        """Append the chosen token to the reply."""
        self._tokens.append(token)
        for penalty in (self._ngrams, self._runs, self.frequency_penalty):
            if penalty is not None:
                penalty.append(token)


@torch.inference_mode()
def sample(samplers: Sequence[SequenceSampler], logits: Tensor) -> list[int]:
    """Return the next token of each of B replies for (B, V) fp32 logits, and append it to their samplers."""
    scores = _penalized(samplers, logits)
    # NumPy is many times faster than torch on a CPU.
    tokens: list[int] = (scores.numpy() if scores.device.type == "cpu" else scores).argmax(-1).tolist()
    by_warps: dict[tuple[Any, ...], list[int]] = {}
    for index, sampler in enumerate(samplers):
        if sampler.warps is not None:
            by_warps.setdefault(sampler.warps, []).append(index)
    for warps, indices in by_warps.items():
        warped = _warpers(*warps)(cast(torch.LongTensor, scores), cast(torch.FloatTensor, scores[indices]))
        probabilities = warped.softmax(-1)
        overflowed = probabilities[:, 0].isnan().tolist()
        # If the temperature is so small that scores overflow, a whole row is NaN; the likeliest token is then kept.
        for index, row, is_nan in zip(indices, probabilities, overflowed, strict=True):
            if not is_nan:
                tokens[index] = int(torch.multinomial(row, 1, generator=samplers[index].generator))
    for sampler, token in zip(samplers, tokens, strict=True):
        sampler.append(token)
    return tokens


def _penalized(samplers: Sequence[SequenceSampler], logits: Tensor) -> Tensor:
    """Return the penalised logits (B, V); if all tokens of a row are forbidden, its end tokens are allowed."""
    scores = _penalized_by_count(samplers, logits)
    for index, sampler in enumerate(samplers):
        if sampler.penalizes:
            scores = logits.clone() if scores is logits else scores
            row = scores[index : index + 1]
            penalized = sampler.penalize(row)
            if penalized is not row:
                scores[index] = penalized[0]
    if scores is not logits:
        for index, best in enumerate(scores.amax(-1).tolist()):
            if best == -torch.inf:
                scores[index, samplers[index].ends_among(logits.shape[-1])] = 0
    return scores


def _penalized_by_count(samplers: Sequence[SequenceSampler], logits: Tensor) -> Tensor:
    """Return logits (B, V) minus the frequency and presence penalties; the same tensor without penalties."""
    rows: list[int] = []
    tokens: list[int] = []
    amounts: list[float] = []
    for index, sampler in enumerate(samplers):
        if sampler.frequency_penalty is not None:
            rows += [index] * len(sampler.frequency_penalty.penalties)
            tokens += sampler.frequency_penalty.penalties
            amounts += sampler.frequency_penalty.penalties.values()
    if not rows:
        return logits
    indices = (torch.tensor(rows, device=logits.device), torch.tensor(tokens, device=logits.device))
    changes = torch.tensor(amounts, dtype=logits.dtype, device=logits.device).neg()
    return logits.index_put(indices, changes, accumulate=True)


def _penalties(config: GenerationConfig) -> LogitsProcessorList:
    """Return transformers' own processors of penalties, in the order of its `generate`."""
    penalties_list = LogitsProcessorList()
    if config.repetition_penalty not in (None, 1.0):
        penalties_list.append(processors.RepetitionPenaltyLogitsProcessor(float(config.repetition_penalty)))
    if config.no_repeat_ngram_size:
        penalties_list.append(processors.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    words = [word for word in config.bad_words_ids or () if len(word) != 1 or word[0] not in config.eos_token_id]
    if words:  # without end tokens
        penalties_list.append(processors.NoBadWordsLogitsProcessor(words, config.eos_token_id))
    return penalties_list


def _warpers(
    temperature: float | None, top_k: int | None, top_p: float | None, min_p: float | None, typical_p: float | None
) -> LogitsProcessorList:
    """Return transformers' own processors of the options `WARPS`, in the order of its `generate`."""
    warpers = LogitsProcessorList()
    if temperature not in (None, 1.0):
        warpers.append(processors.TemperatureLogitsWarper(float(temperature)))
    if top_k:
        warpers.append(processors.TopKLogitsWarper(top_k))
    if top_p is not None and top_p < 1.0:
        warpers.append(processors.TopPLogitsWarper(top_p))
    if min_p is not None:
        warpers.append(processors.MinPLogitsWarper(min_p))
    if typical_p is not None and typical_p < 1.0:
        warpers.append(processors.TypicalLogitsWarper(typical_p))
    return warpers
