"""Folders of adapters, as peft writes them, over tiny base models."""

from pathlib import Path
from typing import Any

import peft
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

SIZES: dict[str, Any] = {"initializer_range": 0.4, "bos_token_id": 0, "eos_token_id": 0}


def save_base(folder: Path, tokenizer: ConversationTokenizer, *, kind: str = "llama", size: int = 16) -> Path:
    """Save a base model with its tokenizer."""
    torch.manual_seed(1)
    config: Any = LlamaConfig(
        **SIZES,
        vocab_size=len(tokenizer),
        hidden_size=size,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=96,
        tie_word_embeddings=True,
    )
    if kind == "gpt2":
        config = GPT2Config(**SIZES, vocab_size=len(tokenizer), n_embd=size, n_layer=2, n_head=2, n_positions=96)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, *, seed: int = 2, **options: Any) -> Path:
    """Save an adapter of a base model with random weights."""
    model = AutoModelForCausalLM.from_pretrained(base)
    is_gpt2 = model.config.model_type == "gpt2"
    targets = ["c_attn", "c_fc", "c_proj"] if is_gpt2 else ["q_proj", "v_proj", "up_proj", "down_proj"]
    settings: dict[str, Any] = {"r": 3, "lora_alpha": 5, "task_type": "CAUSAL_LM", "target_modules": targets}
    settings["fan_in_fan_out"] = is_gpt2
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings | options))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    adapted.save_pretrained(str(folder))
    return folder
