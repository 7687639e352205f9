"""Base of the writers: a model that generates in its own thread for the requests of many threads."""

import copy
import os
import queue
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, cast

import torch

from convmodel.generation.option_checks import check_names
from convmodel.generation.options import DecodingConfig, effective_options, without_engine_options
from convmodel.generation.request import SEEDS
from convmodel.generation.sampler import WARPS
from convmodel.models.adapter_folder import AdaptedModel
from convmodel.models.language_model import AnyLanguageModel, LanguageModel
from convmodel.models.text_generation import GenerationJob
from convmodel.responders.engine_thread import EngineThread
from convmodel.responders.handles import GenerationHandle, Pieces, ResultT, ToResult
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, ClosesOnExit, Load


class EngineWorker(ClosesOnExit, Generic[AnyLanguageModel]):
    """Base of the writers, which generate texts for many requests at once with one model; see `EngineThread`.

    Args:
        model: a language model; its weights must not change afterwards.
        options: default options of a request, which override those of the model's `generation_config`.
        max_running: maximum number of texts generated at once.
        max_kept: number of sequences whose keys and values are cached, running ones included; see `Engine`.
        max_waiting: maximum number of open requests in addition to `max_running`; None for no limit, if a server limits
            the requests.
        adapters: models with an adapter over the weights of `model`, by name; see `adapted`.
    """

    model_class: ClassVar[type[LanguageModel[Any]]]
    noun: ClassVar[str]
    """Noun for a generated text in error messages."""

    presets: Mapping[str, Mapping[str, Any]]
    """Sets of options by name, without options that the model's architecture does not support."""

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        options: Mapping[str, Any] | None = None,
        max_running: int = MAX_RUNNING,
        max_kept: int | None = None,
        max_waiting: int | None = MAX_WAITING,
        adapters: Mapping[str, AdaptedModel[AnyLanguageModel]] | None = None,
    ) -> None:
        if max_waiting is not None and max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; it must be at least 1")
        self._defaults = dict(options or {})
        self._use(model, None)
        self._adapters = adapters or {}
        self._thread = EngineThread(
            model.hf_model,
            adapters=[adapted.adapter for adapted in self._adapters.values()],
            noun=self.noun,
            max_running=max_running,
            max_kept=max_kept,
            max_waiting=max_waiting,
        )
        if not self._thread.has_engine:
            self.presets = {name: without_engine_options(preset) for name, preset in self.presets.items()}

    def _use(self, model: AnyLanguageModel, adapter: int | None) -> None:
        """Set the model of this worker's requests, and the index of its adapter; None for the engine's base model."""
        self.model = model
        self._adapter = adapter
        self.options: Mapping[str, Any] = MappingProxyType(effective_options(self._decoding(self._defaults)))
        """Default options of a request, computed when the worker was created."""
        self.context_length = model.n_positions
        """Maximum number of tokens of context and reply together."""

    @property
    def adapted(self) -> dict[str, Self]:
        """Workers of the adapters, by name.

        They share this worker's engine, which batches requests of different adapters. Closing any of them closes all.
        """
        workers = {name: copy.copy(self) for name in self._adapters}
        for index, (name, adapted) in enumerate(self._adapters.items()):
            workers[name]._use(adapted.model, index)
        return workers

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        base: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Load the model by its class's `from_pretrained`. `options` are further arguments of the worker."""
        model = cls.model_class.from_pretrained(name_or_path, device=device, dtype=dtype, base=base)
        return cls(cast(AnyLanguageModel, model), **options)

    @property
    def load(self) -> Load:
        """Current load and token counts; may be read from any thread, and after `close`."""
        return self._thread.load

    def clamp_new_tokens(self, wanted: int) -> int:
        """See `BoundedGenerator.clamp_new_tokens`."""
        return self.model.clamp_new_tokens(wanted)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for an invalid option. The message names the option, its value and the allowed values."""
        check_names(options)
        if any(value is not None for value in options.values()):  # a server also checks bare names, with each request
            self._decoding(options)

    def _decoding(self, options: Mapping[str, Any]) -> DecodingConfig:
        check_names(options)
        given = {name: value for name, value in options.items() if value is not None}
        is_greedy = given.get("do_sample") is False  # the default options of sampling do not apply
        defaults = {name: value for name, value in self._defaults.items() if not (is_greedy and name in WARPS)}
        decoding = self.model.decoding(**defaults | given)
        _ = decoding.uses_engine  # raises ValueError for options that contradict each other
        return decoding

    def _draw(self, decoding: DecodingConfig, seed: int | None) -> tuple[Pieces, dict[str, Any]]:
        """Return a queue for the pieces of a request's text, and the request's arguments `seed` and `sink`.

        If `seed` is None, a seed is drawn by `secrets`. Torch's global generator is not used, because beam sampling may
        be using it in the engine's thread.
        """
        pieces: Pieces = queue.SimpleQueue()
        sink = pieces.put if decoding.num_replies == 1 else None
        return pieces, {"seed": secrets.randbelow(SEEDS) if seed is None else seed, "sink": sink}

    def _submit(
        self, job: GenerationJob, pieces: Pieces, *, to_result: ToResult[ResultT], text_of: Callable[[ResultT], str]
    ) -> GenerationHandle[ResultT]:
        """Queue a request for the engine's thread, and return its handle; raises as `EngineThread.submit`."""
        handle = GenerationHandle(
            job,
            pieces,
            model=self.model,
            adapter=self._adapter,
            on_end=self._thread.release,
            to_result=to_result,
            text_of=text_of,
        )
        self._thread.submit(handle)
        return handle

    def close(self) -> None:
        """Cancel running requests and end the thread; repeated calls have no effect."""
        self._thread.close()
