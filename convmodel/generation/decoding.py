"""Logits and a request's options in, its next token out; the same token whoever else is in the batch."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as processors

UNDERSTOOD = frozenset(
    {
        *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p"),
        *("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"),
        *("max_new_tokens", "min_new_tokens", "eos_token_id", "bos_token_id", "pad_token_id"),
        *("num_return_sequences", "use_cache", "transformers_version"),
    }
)
"""The fields of a GenerationConfig that the engine follows; any other goes to transformers' `generate`."""


def is_understood(config: GenerationConfig) -> bool:
    """Whether everything that a configuration asks for is done here."""
    usual = GenerationConfig()
    asked = {name for name, value in config.to_dict().items() if value != getattr(usual, name, None)}
    return asked <= UNDERSTOOD


class Decoder:
    """Chooses the tokens of one reply.

    Args:
        config: whole: every field that matters is set, `eos_token_id` is a list.
        context: the C tokens that the reply follows; penalties see them.
        seed: of this reply's own generator, so that neighbours change nothing; torch's global one draws it when None.
        device: of the logits.
    """

    def __init__(
        self, config: GenerationConfig, context: Sequence[int], seed: int | None, device: torch.device
    ) -> None:
        self._sampling = bool(config.do_sample)
        self._tokens = list(context)
        self._processors = _processors(config, len(context), device)
        self._generator: torch.Generator | None = None
        if self._sampling:
            drawn = int(torch.randint(2**62, (1,))) if seed is None else seed
            self._generator = torch.Generator(device).manual_seed(drawn)

    def choose(self, logits: Tensor) -> int:
        """The next token.

        Args:
            logits: (V,) fp32; changed in place.
        """
        scores = logits[None]
        if self._processors:
            # They are annotated with the tensor types of the past.
            seen = cast(torch.LongTensor, torch.tensor([self._tokens], device=logits.device))
            scores = self._processors(seen, cast(torch.FloatTensor, scores))
        if self._sampling:
            chosen = int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._generator))
        else:
            chosen = int(scores.argmax())
        self._tokens.append(chosen)
        return chosen


def _processors(config: GenerationConfig, context: int, device: torch.device) -> LogitsProcessorList:
    """transformers' own processors, in transformers' own order."""
    found = LogitsProcessorList()
    ends = config.eos_token_id
    if config.repetition_penalty not in (None, 1.0):
        found.append(processors.RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.no_repeat_ngram_size:
        found.append(processors.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    if config.bad_words_ids is not None:
        found.append(processors.NoBadWordsLogitsProcessor(config.bad_words_ids, ends))
    if config.min_new_tokens:
        found.append(
            processors.MinNewTokensLengthLogitsProcessor(context, config.min_new_tokens, ends, device=str(device))
        )
    if not config.do_sample:
        return found
    if config.temperature not in (None, 1.0):
        found.append(processors.TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        found.append(processors.TopKLogitsWarper(config.top_k))
    if config.top_p is not None and config.top_p < 1.0:
        found.append(processors.TopPLogitsWarper(config.top_p))
    if config.min_p is not None:
        found.append(processors.MinPLogitsWarper(config.min_p))
    if config.typical_p is not None and config.typical_p < 1.0:
        found.append(processors.TypicalLogitsWarper(config.typical_p))
    return found
