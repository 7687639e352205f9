"""Turns in, replies out: a GPT-2 with its conversation tokenizer, loaded from and saved to a folder."""

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, GPT2LMHeadModel, PreTrainedTokenizerBase

from convmodel.conversation import check_turns
from convmodel.generation import Engine, Request, Row, generate_rows, is_understood, score_rows
from convmodel.hardware import best_device, quick_at_bf16
from convmodel.layout import fit, lay_out, persona_length, room_for_turns
from convmodel.model_card import ModelCard
from convmodel.model_folder import checked_source, load_config, quiet_progress, replaced_folder
from convmodel.tokenizer import ConversationTokenizer

DECODING_DEFAULTS: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 50,
    "top_p": 0.9,
    "min_new_tokens": 1,
}
"""Used where neither the folder's generation_config nor the caller says how to decode."""

NEUTRAL = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0}
"""What transformers takes for "not given" where nothing is sampled."""

MAX_NEW_TOKENS = 128
"""Tokens of a reply at most, where nobody says; never more than half of the model's window."""

ROWS_PER_BATCH = 32
"""Contexts that `generate_batch` and `score` read at once."""


@dataclass(frozen=True)
class ConversationModelOutput:
    """What a model replied.

    Args:
        responses: one text for each returned sequence, without separators.
        context: the turns that were replied to.
        turns_dropped: how many of the oldest turns did not fit into the model's window.
    """

    responses: list[str]
    context: list[str]
    turns_dropped: int = 0


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


class ConversationModel:
    """Replies to conversations with a GPT-2.

    Args:
        hf_model: the GPT-2. Its embeddings grow when the tokenizer has more tokens than they have rows.
        tokenizer: lays turns out for it.

    Example:
        >>> model = ConversationModel.from_pretrained("model")
        >>> model.generate(["Hello"]).responses[0]
        'Hi, how are you?'
    """

    def __init__(self, hf_model: GPT2LMHeadModel, tokenizer: ConversationTokenizer) -> None:
        self._hf_model, self._tokenizer = hf_model, tokenizer
        if len(tokenizer) > len(hf_model.transformer.wte.weight):
            hf_model.resize_token_embeddings(len(tokenizer))
        sep = tokenizer.sep_token_id
        hf_model.config.bos_token_id = hf_model.config.eos_token_id = sep
        hf_model.config.pad_token_id = (
            None  # padding is told by masks and labels; an id would be mistaken for turns' ends
        )
        self.generation_config = _decoding(hf_model.generation_config, sep, self.n_positions)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> "ConversationModel":
        """Loads a GPT-2 and its tokenizer by Hub name or folder. Only safetensors are read; pickles are refused.

        Args:
            name_or_path: "gpt2", another Hub name, or a folder.
            device: "cuda", "cpu", ...; an accelerator when there is one, when left out.
            dtype: "auto" takes the saved type, but float32 where the device is not quick at a saved 16-bit type;
                or a torch type or its name.

        Raises:
            FileNotFoundError: when there is neither such a folder nor, as far as can be reached, such a Hub name.
            ValueError: when it is no GPT-2, or has no safetensors.
        """
        source = checked_source(name_or_path)
        config = load_config(source)
        place = torch.device(device) if device is not None else best_device()
        if dtype == "auto" and not quick_at_bf16(place):
            dtype = torch.float32
        with quiet_progress():
            model = GPT2LMHeadModel.from_pretrained(source, config=config, dtype=dtype, use_safetensors=True)
        cast(torch.nn.Module, model).to(place)
        return cls(model.eval(), ConversationTokenizer.from_pretrained(source))

    @property
    def hf_model(self) -> GPT2LMHeadModel:
        """The wrapped GPT-2."""
        return self._hf_model

    @property
    def tokenizer(self) -> ConversationTokenizer:
        """Lays turns out for the model."""
        return self._tokenizer

    @property
    def hf_tokenizer(self) -> PreTrainedTokenizerBase:
        """The transformers tokenizer inside `tokenizer`."""
        return self._tokenizer.hf_tokenizer

    @property
    def n_positions(self) -> int:
        """The model's window in tokens: context and reply together."""
        return int(self._hf_model.config.n_positions)

    def generate(
        self, context: Sequence[str], *, persona: Sequence[str] = (), **options: Any
    ) -> ConversationModelOutput:
        """Writes replies to a context.

        Args:
            context: the turns so far, oldest first. Whole oldest turns are left out when they do not fit.
            persona: sentences about the one who replies; always kept.
            options: every option of transformers' `generate` (`max_new_tokens`, `do_sample`, `num_beams`, `top_p`,
                `num_return_sequences`, `bad_words_ids`, `stop_strings`, ...). What is not given comes from
                `generation_config`. Sampling draws from torch's global generator: `torch.manual_seed` repeats it.

        Raises:
            TypeError, ValueError: when a turn is missing, empty or no text, or the reply leaves no room for a turn.
        """
        return self.generate_batch([context], personas=[persona], **options)[0]

    def generate_batch(
        self, contexts: Sequence[Sequence[str]], *, personas: Sequence[Sequence[str]] | None = None, **options: Any
    ) -> list[ConversationModelOutput]:
        """Writes replies to many contexts at once; greedy replies in fp32 are those of one at a time.

        Args:
            contexts: B contexts of any lengths.
            personas: one persona for each context, or none.
            options: as for `generate`; they hold for all contexts.

        Returns:
            B outputs in the order of `contexts`.
        """
        if isinstance(contexts, str):
            raise TypeError(f"contexts is the text {contexts[:40]!r}; give a list of contexts, each a list of turns")
        if personas is not None and len(personas) != len(contexts):
            raise ValueError(f"{len(personas)} personas for {len(contexts)} contexts; give one each, or none")
        config, options, limit = self._decoding_of(options)
        everyone = personas or [()] * len(contexts)
        laid_out = [
            self._tokenizer(context, persona=persona, max_length=limit)
            for context, persona in zip(contexts, everyone, strict=True)
        ]
        rows = [Row(encoding["input_ids"], encoding["token_type_ids"]) for encoding in laid_out]
        replies = config.num_return_sequences or 1
        through_engine = not options and is_understood(config) and (config.do_sample or replies == 1)
        with _evaluating(self._hf_model):
            if through_engine:
                found = self._write(rows, config, replies)
            else:  # beams, stop strings, own processors, ...
                found = self._write_by_transformers(rows, config, options)
        return [
            ConversationModelOutput(
                [self._tokenizer.decode(ids) for ids in replies], list(context), encoding.turns_dropped
            )
            for replies, context, encoding in zip(found, contexts, laid_out, strict=True)
        ]

    def _write(self, rows: Sequence[Row], config: GenerationConfig, replies: int) -> list[list[list[int]]]:
        """The tokens of each row's replies, through the engine; seeds come from torch's global generator."""
        if not rows:
            return []
        requests = (Request(row.input_ids, row.token_type_ids, config) for row in rows for _ in range(replies))
        most = min(ROWS_PER_BATCH, len(rows) * replies)
        tokens = [ticket.tokens for ticket in Engine(self._hf_model, max_running=most).run(requests)]
        return [tokens[i : i + replies] for i in range(0, len(tokens), replies)]

    def _write_by_transformers(
        self, rows: Sequence[Row], config: GenerationConfig, options: dict[str, Any]
    ) -> list[list[list[int]]]:
        """The same through transformers' `generate`, rows of like length together."""
        same_length = config.max_length is not None or bool(config.min_length)  # they count the context too
        found: dict[int, list[list[int]]] = {}
        for numbers in _groups([len(row.input_ids) for row in rows], same_length=same_length):
            group = generate_rows(self._hf_model, [rows[n] for n in numbers], config, **options)
            found |= dict(zip(numbers, group, strict=True))
        return [found[n] for n in range(len(rows))]

    def score(
        self, context: Sequence[str], candidates: Sequence[str], *, persona: Sequence[str] = ()
    ) -> ConversationModelScores:
        """How likely the model finds each candidate as the reply to a context.

        Args:
            context: the turns so far. Where the longest candidate needs it, oldest turns are left out for all.
            candidates: C texts.
            persona: sentences about the one who replies.

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
        room = room_for_turns(persona_length(sentences), self.n_positions, least=2 + max(map(len, replies)) + 1)
        window = fit([len(ids) for ids in turns], room - max(map(len, replies)) - 1)
        kept = turns[window.first :]
        kept[-1] = kept[-1][window.cut :]
        base = lay_out(kept, sep, persona=sentences)
        reply_type = base.token_type_ids[-1]
        rows = [
            Row([*base.input_ids, *ids, sep], [*base.token_type_ids, *[reply_type] * len(ids), 1 - reply_type])
            for ids in replies
        ]
        lengths = [len(ids) + 1 for ids in replies]
        summed: list[float] = []
        with _evaluating(self._hf_model):
            for i in range(0, len(rows), ROWS_PER_BATCH):
                part = slice(i, i + ROWS_PER_BATCH)
                summed += score_rows(self._hf_model, rows[part], lengths[part], pad_token_id=sep)
        per_token = [total / n for total, n in zip(summed, lengths, strict=True)]
        return ConversationModelScores(candidates, summed, per_token, lengths)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        card: ModelCard | None = None,
        state_dict: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Saves an ordinary transformers folder: safetensors, configs, tokenizer, chat template and model card.

        The folder is replaced in one step: whoever reads it, or kills this process, finds the old or the new one.

        Args:
            folder: where; an older model there is replaced.
            card: what is known of the model, for its README.md.
            state_dict: the weights, where they were gathered from several processes; the model's own when left out.

        Raises:
            FileExistsError: when the folder holds files that are no part of a model.
        """
        with replaced_folder(folder) as fresh:
            with quiet_progress():
                self._hf_model.save_pretrained(fresh, state_dict=state_dict)
            config = copy.deepcopy(self.generation_config)
            if not config.do_sample:  # transformers saves no sampling options where nothing is sampled
                config.update(**NEUTRAL)
            config.save_pretrained(fresh)
            self._tokenizer.save_pretrained(fresh)
            text = (card or ModelCard()).markdown(
                sep_token=self._tokenizer.sep_token,
                parameters=self._hf_model.num_parameters(),
                n_positions=self.n_positions,
                vocab_size=len(self._tokenizer),
            )
            (fresh / "README.md").write_text(text, encoding="utf-8")

    def _decoding_of(self, options: dict[str, Any]) -> tuple[GenerationConfig, dict[str, Any], int]:
        """The whole decoding configuration of a call, its other options, and the tokens its context may take."""
        for name in ("input_ids", "inputs", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids"):
            if name in options:
                raise TypeError(f"{name!r} is made from the context; leave it out")
        given = options.pop("generation_config", None)
        new_tokens_given = options.get("max_new_tokens") is not None
        sep = self._tokenizer.sep_token_id
        config = copy.deepcopy(self.generation_config) if given is None else _decoding(given, sep, self.n_positions)
        if options.get("do_sample") is False:
            config.update(**{name: value for name, value in NEUTRAL.items() if name not in options})
        options = config.update(**options)  # what is left is no field of a GenerationConfig: processors, streamers, ...
        ends = [] if config.eos_token_id is None else config.eos_token_id
        config.eos_token_id = sorted({*([ends] if isinstance(ends, int) else ends), sep})
        if config.stop_strings is not None:
            options.setdefault("tokenizer", self.hf_tokenizer)
        if config.max_length is not None and not new_tokens_given:
            config.max_length = total = min(config.max_length, self.n_positions)
            config.max_new_tokens = None
            return config, options, max(3, total - min(MAX_NEW_TOKENS, total // 2))
        config.max_length = None
        if not 1 <= config.max_new_tokens <= self.n_positions - 3:
            raise ValueError(
                f"max_new_tokens={config.max_new_tokens}, but context and reply share a window of {self.n_positions} "
                f"tokens; allowed are 1 to {self.n_positions - 3}"
            )
        return config, options, self.n_positions - config.max_new_tokens


def _decoding(config: GenerationConfig, sep_token_id: int, n_positions: int) -> GenerationConfig:
    """A decoding configuration in which nothing that matters is left to chance: how, how long, and where to end."""
    whole = copy.deepcopy(config)
    decided = ("do_sample", "num_beams", "temperature", "top_k", "top_p", "penalty_alpha", "repetition_penalty")
    if all(getattr(whole, name, None) is None for name in decided):
        for name, value in DECODING_DEFAULTS.items():
            setattr(whole, name, value)
    ends = [] if whole.eos_token_id is None else whole.eos_token_id
    whole.eos_token_id = sorted({*([ends] if isinstance(ends, int) else ends), sep_token_id})
    whole.bos_token_id = whole.pad_token_id = sep_token_id
    if whole.max_new_tokens is None:
        whole.max_new_tokens = min(MAX_NEW_TOKENS, n_positions // 2)
    whole.max_length = None
    return whole


def _groups(lengths: Sequence[int], *, same_length: bool) -> Iterator[list[int]]:
    """Numbers of contexts to be read together: of like length, so that little is padding."""
    group: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if group and (len(group) == ROWS_PER_BATCH or (same_length and lengths[n] != lengths[group[0]])):
            yield group
            group = []
        group.append(n)
    if group:
        yield group


class _evaluating:
    """Turns dropout off inside a block and leaves the model as it was."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self._model, self._training = model, model.training

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        self._model.train(self._training)
