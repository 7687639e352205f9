"""LoRA in the transformers encoders of a selector, and merging it into their weights."""

import copy
from typing import Any, cast

from torch import nn
from transformers.pytorch_utils import Conv1D

from convmodel.models.lora import Lora, last_names, quiet_peft
from convmodel.models.selection.encoder import TokenEncoder
from convmodel.models.selection.selector import Selector


def add_lora(network: nn.Module, options: Lora) -> None:
    """Put adapters into every encoder of a network, and freeze the other weights of the encoders.

    The other parts of the network, such as the head of a cross-encoder, and `modules_to_save` are trained completely.

    Raises:
        ValueError: for names of layers that an encoder does not have.
    """
    from peft import LoraConfig, inject_adapter_in_model

    encoders = [module for module in network.modules() if isinstance(module, TokenEncoder)]
    if not encoders:
        raise ValueError("model.lora: this architecture has no transformers encoder; leave model.lora out")
    for encoder in encoders:
        model = cast(nn.Module, encoder.hf_model)
        linear = last_names(name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
        targets = options.targets or sorted(linear)
        if unknown := sorted({*targets} - linear):
            raise ValueError(
                f"model.lora.target_modules: the encoder has no linear layer {unknown[0]!r}; its linear layers are "
                f"{', '.join(sorted(linear))}"
            )
        config = LoraConfig(
            r=options.r,
            lora_alpha=cast(int, options.alpha),
            lora_dropout=options.dropout,
            target_modules=targets,
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        )
        with quiet_peft():
            inject_adapter_in_model(config, model)
        whole = {*(options.modules_to_save or ())}
        for name, module in model.named_modules():
            if name.rpartition(".")[2] in whole:
                module.requires_grad_(True)


def merged_selector(selector: Selector) -> Selector:
    """Return a copy of a selector with the adapters of `add_lora` added to its weights; the selector stays as it is."""
    from peft.tuners.lora import LoraLayer

    merged = copy.copy(selector)
    merged.network = copy.deepcopy(selector.network)
    for parent in list(merged.network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                layer = cast(Any, child)
                layer.merge(safe_merge=True)
                setattr(parent, name, layer.get_base_layer())
    return merged
