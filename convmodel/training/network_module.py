"""Base of the LightningModules that train a language model: network, adapters, export and checkpoints."""

import os
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar, cast

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.optim import Optimizer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from convmodel.generation.causal_lm import context_window, embedding_rows
from convmodel.models.card import ModelCard, architecture_name
from convmodel.models.folder import CONVERSATION_FILE, DOCUMENT_FILE
from convmodel.models.from_scratch import FromScratch
from convmodel.models.generation_file import GENERATION, check_token_ids, read_own_options
from convmodel.models.language_model import LanguageModel
from convmodel.models.loading import check_vocabulary
from convmodel.models.lora import LORA_RATE, Adapter, Lora, describe_parameters
from convmodel.models.model_source import ModelSource
from convmodel.models.quantization import check_quantization
from convmodel.models.source import open_source
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.memory import enable_checkpointing
from convmodel.training.muon import layer_matrices
from convmodel.training.sharding import has_shards, shard
from convmodel.training.training_module import TrainingModule, WriterOptimizerName

DEFAULT_LENGTH = 1024
"""Default maximum number of tokens of a training window of a pretrained model."""

ModelT = TypeVar("ModelT", bound=LanguageModel[Any])


class NetworkModule(TrainingModule, Generic[ModelT]):
    """Base of the modules that train a language model: all of its weights, or low-rank adapters (LoRA).

    Args:
        pretrained_model_name_or_path: Hub name (gpt2), folder or GGUF file of the language model to fine-tune, or the
            folder of an adapter, which is merged into its base first; `from_scratch` is then ignored.
        from_scratch: Sizes of a new model, if no pretrained one is given.
        optimizer: "adamw", or "muon": Muon for the matrices of the layers, and AdamW for embeddings, biases and norms,
            with the same learning rate. If null, "muon" for a new model, and "adamw" for a pretrained one or weights
            that are distributed over processes. Source: arXiv:2502.16982.
        lora: Options of low-rank adapters. With adapters, the weights of the model stay fixed and the adapters alone
            are trained. null trains all weights.
        merge_lora: Whether the adapters are added to the weights of the exported model, so that the folder is an
            ordinary model. If false, the folder holds the adapters alone and the name of their base model.
        gradient_checkpointing: Whether the activations of layers are computed again in the backward pass instead of
            kept. This takes less memory, and about a third more time.
        quantize: "nf4" stores the fixed weights of a model with adapters in 4 bits. This needs a GPU and bitsandbytes.
            Source: arXiv:2305.14314.
        options: See `TrainingModule`.
    """

    model_class: type[ModelT]
    """Class of the trained and exported model."""

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        from_scratch: FromScratch = FromScratch(),  # noqa: B008 (only read; shown in the printed config)
        optimizer: WriterOptimizerName | None = None,
        lora: Lora | None = None,
        merge_lora: bool = True,
        gradient_checkpointing: bool = False,
        quantize: Literal["nf4"] | None = None,
        **options: Any,
    ) -> None:
        if isinstance(from_scratch, dict):  # from a checkpoint
            from_scratch = FromScratch(**from_scratch)
        if isinstance(lora, dict):
            lora = Lora(**lora)
        if pretrained_model_name_or_path is None:
            from_scratch.check()
        if lora is not None:
            _check_lora(lora, pretrained_model_name_or_path, optimizer or "adamw")
        if quantize is not None:
            check_quantization(quantize, has_adapters=lora is not None)
        default_rate = 5e-5 if lora is None else LORA_RATE
        default_optimizer: WriterOptimizerName = "adamw"
        if pretrained_model_name_or_path is None:
            default_rate = min(0.003, 0.768 / from_scratch.n_embd)
            default_optimizer = "muon"
        super().__init__(
            pretrained_model_name_or_path,
            default_learning_rate=default_rate,
            optimizer_name=optimizer or default_optimizer,
            **options,
        )
        self._optimizer_is_given = optimizer is not None
        self.hparams["optimizer"] = self._optimizer  # checkpoints name it, whatever the default will be
        self._from_scratch = from_scratch
        self._lora = lora
        self._merge_lora = merge_lora
        self._quantize = quantize
        self._gradient_checkpointing = gradient_checkpointing
        self._adapter: Adapter | None = None
        self._base_digest: str | None = None
        self.hf_model: PreTrainedModel | None = None
        self._config: PretrainedConfig | None = None
        self._extra_config: dict[str, Any] | None = None
        self._restored = False

    # Model

    @property
    def n_positions(self) -> int:
        """Maximum number of tokens in the model's window."""
        config = self._known_config()
        return self._from_scratch.n_positions if config is None else context_window(config)

    @property
    def model_type(self) -> str:
        """Name of the architecture."""
        config = self._known_config()
        return self._from_scratch.model_type if config is None else str(config.model_type)

    @cached_property
    def _source(self) -> ModelSource:
        """Pretrained model, opened and checked once."""
        assert self._pretrained is not None
        return open_source(self._pretrained)

    def _known_config(self) -> PretrainedConfig | None:
        """Return the configuration of the checkpoint or the pretrained model; None for a model from scratch.

        Raises ValueError if the pretrained model is an encoder-decoder.
        """
        if self._config is None and self._pretrained is not None:
            self._config = self._source.config()
            if self._config.is_encoder_decoder:
                raise ValueError(
                    f"model.pretrained_model_name_or_path={self._pretrained}: holds a {self._config.model_type!r}, an "
                    "encoder-decoder, which can be used but not trained here; train it with transformers' "
                    "Seq2SeqTrainer and give the folder to --model, or fine-tune a gpt2, llama or the like"
                )
        return self._config

    @property
    def default_length(self) -> int | None:
        """Default length of training windows: limited for a pretrained model to save memory, None for a new model."""
        return None if self._pretrained is None else min(self.n_positions, DEFAULT_LENGTH)

    @property
    def extra_config(self) -> dict[str, Any]:
        """Options of the model's class that its transformers config does not hold, as saved in checkpoint or folder."""
        if self._extra_config is None:
            files = (DOCUMENT_FILE, CONVERSATION_FILE)
            place = None if self._pretrained is None else self._source.place_of(*files)
            self._extra_config = {} if place is None else self.model_class.read_extra_config(place)
        return self._extra_config

    @property
    def tokenizer_class(self) -> type[TextTokenizer]:
        return self.model_class.tokenizer_class

    def _load_tokenizer(self, source: str) -> TextTokenizer:
        return self._source.tokenizer(self.tokenizer_class)

    @property
    def vocab_size(self) -> int:
        """Maximum size of a learned vocabulary."""
        return self._from_scratch.vocab_size

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        super().restore_from(checkpoint)
        state = checkpoint["convmodel"]
        self._config = CONFIG_MAPPING[state["config"]["model_type"]].from_dict(state["config"])
        self._extra_config = dict(state.get("more", {}))
        if self.base_model is None:  # the weights fix the sizes, but not dropout
            self._config.update(self._from_scratch.dropouts)
        self._base_digest = state.get("base_digest")
        self._restored = True

    def configure_model(self) -> None:
        """Build the model from the checkpoint's sizes, from pretrained weights, or from scratch."""
        unattached = self._trainer is None and self._tokenizer is None  # `on_load_checkpoint` will follow
        if self.hf_model is not None or unattached:
            return
        tokenizer = self._required_tokenizer()
        model = self._new_network(tokenizer)
        rows = embedding_rows(model)
        self.hf_model = self.model_class(model, tokenizer, **self.extra_config).hf_model.train()
        if self._lora is not None:
            self._add_adapter(self._lora, new_rows=range(rows, embedding_rows(model)))
        if self._gradient_checkpointing:
            enable_checkpointing(self.hf_model)
        if self._trainer is not None and isinstance(self.trainer.strategy, ModelParallelStrategy):
            shard(self, self.hf_model)
        config = self.hf_model.config
        rank_zero_info(
            f"model: {architecture_name(config.model_type)}, {describe_parameters(self.hf_model)}, "
            f"{config.num_hidden_layers} x {config.hidden_size}, {config.vocab_size:,} tokens, "
            f"{self.base_model or 'from scratch'}"
        )

    def _new_network(self, tokenizer: TextTokenizer) -> PreTrainedModel:
        """Return a model from the checkpoint's sizes, from pretrained weights, or from scratch."""
        if self._restored and self._lora is None:
            assert self._config is not None
            return cast(PreTrainedModel, AutoModelForCausalLM.from_config(self._config))
        if self._pretrained is not None:
            read_own_options(self._source.place_of(GENERATION))  # raises before the training if the file is damaged
            model = self._source.load(self._source.config(), dtype=torch.float32, rows=len(tokenizer))
            check_token_ids(self._source.name, model.generation_config, embedding_rows(model))
            check_vocabulary(self._source.name, tokenizer.hf_tokenizer, embedding_rows(model), may_be_new=True)
            return model
        new = self._from_scratch.config(vocab_size=len(tokenizer), sep_token_id=tokenizer.sep_token_id)
        return cast(PreTrainedModel, AutoModelForCausalLM.from_config(new))

    def _add_adapter(self, lora: Lora, *, new_rows: range) -> None:
        """Add adapters to the model. `new_rows` are the rows that were added to its embeddings.

        Raises ValueError if the adapters of the checkpoint were trained with other base weights.
        """
        assert self.hf_model is not None and self._pretrained is not None
        quantize = self._quantize is not None
        self._adapter = Adapter(self.hf_model, lora, base=self._pretrained, new_rows=new_rows, quantize=quantize)
        if self._base_digest not in (None, self._adapter.digest):
            raise ValueError(
                f"model.pretrained_model_name_or_path={self._pretrained}: holds other weights than those with which "
                "the checkpoint's adapters were trained; give the folder or name of the same model"
            )

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser, which is AdamW in place of the default Muon if the weights are distributed."""
        if not self._optimizer_is_given and has_shards(self.trainer):
            self._optimizer = self.hparams["optimizer"] = "adamw"
        return super().configure_optimizers()

    def on_fit_start(self) -> None:
        """Raise ValueError for adapters or Muon with sharded weights: both need all weights in one process."""
        if not has_shards(self.trainer):
            return
        if self._lora is not None:
            raise ValueError(
                "model.lora with trainer.strategy=fsdp: adapters are merged and saved in one process, but each "
                "holds only a part of the weights; use ddp"
            )
        if self._optimizer == "muon":
            raise ValueError(
                "model.optimizer=muon with trainer.strategy=fsdp: Muon needs whole matrices, but each process holds "
                "only a part of them; use ddp, or adamw"
            )

    def language_model(self) -> ModelT:
        """Return the model with its current weights, ready to generate; adapters are merged into a copy."""
        assert self.hf_model is not None and self._tokenizer is not None
        network = self.hf_model if self._adapter is None else self._adapter.merged(self._unquantized())
        return self.model_class(network, self._tokenizer, **self.extra_config)

    def _unquantized(self) -> PreTrainedModel | None:
        """Return the base model before quantisation, loaded again; None if the model is not quantised."""
        if self._quantize is None:
            return None
        tokenizer = self._required_tokenizer()
        model = self.model_class(self._new_network(tokenizer), tokenizer, **self.extra_config).hf_model
        cast(torch.nn.Module, model).to(self.device)
        return model

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Save the model with its card. `weights` is the full state dict, gathered from all processes."""
        if self._adapter is not None:
            assert self.hf_model is not None
            if self._merge_lora:
                self.language_model().save_pretrained(folder, card=card)
            else:
                model = self.model_class(self.hf_model, self._required_tokenizer(), **self.extra_config)
                model.save_pretrained(folder, card=card, adapter=self._adapter)
            return
        prefix = "hf_model."
        state_dict = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        self.language_model().save_pretrained(folder, card=card, state_dict=state_dict)

    def _layer_matrices(self) -> list[Tensor]:
        assert self.hf_model is not None
        return layer_matrices(self.hf_model, cast(Tensor, self.hf_model.get_output_embeddings().weight))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save tokenizer, config and name of the base model as plain values, without pickled objects.

        Of the weights of a model with adapters, only the trained ones are saved.
        """
        assert self.hf_model is not None
        super().on_save_checkpoint(checkpoint)
        checkpoint["convmodel"] |= {"config": self.hf_model.config.to_diff_dict(), "more": self.extra_config}
        if self._adapter is not None:
            trained = {name for name, p in self.named_parameters(remove_duplicate=False) if p.requires_grad}
            weights = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name: weights[name] for name in weights if name in trained}
            checkpoint["convmodel"]["base_digest"] = self._adapter.digest

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the weights of the base model to the checkpoint if it holds adapters alone."""
        super().on_load_checkpoint(checkpoint)
        if self._adapter is not None:
            checkpoint["state_dict"] = self.state_dict() | checkpoint["state_dict"]

    @property
    def _is_built(self) -> bool:
        return self.hf_model is not None


def _check_lora(lora: Lora, pretrained: str | None, optimizer: str) -> None:
    lora.check(pretrained)
    if optimizer == "muon":
        raise ValueError("model.optimizer=muon with model.lora: Muon is for whole matrices; use adamw for adapters")
