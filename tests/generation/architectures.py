"""Tiny models of many architectures with random weights, and transformers' own replies of them."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GenerationConfig,
    GlmConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OlmoConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    SmolLM3Config,
    Starcoder2Config,
)

from tests.generation.helpers import END, POSITIONS

WINDOW = 6

IDS: dict[str, Any] = {"vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
SIZES: dict[str, Any] = {
    **IDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.5,
}
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}
MIXED: dict[str, Any] = {
    **GROUPED,
    "head_dim": 8,
    "num_hidden_layers": 3,
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
YARN: dict[str, Any] = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 12}

HALF: dict[str, Any] = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}

CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**GROUPED),
    "llama, tied, yarn": LlamaConfig(**GROUPED, tie_word_embeddings=True, rope_parameters=YARN),
    "mistral": MistralConfig(**GROUPED, sliding_window=WINDOW),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gemma3": Gemma3TextConfig(**MIXED, query_pre_attn_scalar=8),
    "gemma2": Gemma2Config(**MIXED, query_pre_attn_scalar=8, attn_logit_softcapping=3.0, final_logit_softcapping=9.0),
    "phi3": Phi3Config(**GROUPED, rope_parameters=HALF, sliding_window=WINDOW),
    "olmo2": Olmo2Config(**GROUPED),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "granite": GraniteConfig(**GROUPED, logits_scaling=2.0, embedding_multiplier=1.5, residual_multiplier=0.7),
    "smollm3": SmolLM3Config(**GROUPED, no_rope_layer_interval=2),
    "gpt_oss": GptOssConfig(**MIXED, num_local_experts=4, num_experts_per_tok=2),
    "opt": OPTConfig(
        **IDS,
        hidden_size=16,
        ffn_dim=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        word_embed_proj_dim=12,
        init_std=0.5,
    ),
    "mixtral": MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW),
    "qwen2_moe": Qwen2MoeConfig(**GROUPED, num_experts=4, moe_intermediate_size=8, shared_expert_intermediate_size=8),
    "cohere": CohereConfig(**GROUPED, logit_scale=0.5),
    "starcoder2": Starcoder2Config(**GROUPED, sliding_window=WINDOW),
    "phi": PhiConfig(**SIZES),
    "olmo": OlmoConfig(**GROUPED, clip_qkv=2.0),
    "glm": GlmConfig(**GROUPED, head_dim=8),
    "gpt2": GPT2Config(**IDS, n_embd=16, n_layer=2, n_head=2, n_positions=POSITIONS, initializer_range=0.6),
}


def make_network(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A model of one architecture, whose states are far apart."""
    torch.manual_seed(3)
    network = cast(PreTrainedModel, AutoModelForCausalLM.from_config(CONFIGS[name]).eval())
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:  # norms, biases, sinks
                parameter.add_(0.3 * torch.randn_like(parameter))
    return cast(Any, network).to(dtype)


@torch.no_grad()
def own_logits(network: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """(T, V) after each token, in one pass of transformers' own."""
    logits: torch.Tensor = cast(Any, network)(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits.float()


@torch.no_grad()
def own_reply(network: PreTrainedModel, ids: Sequence[int], config: GenerationConfig) -> list[int]:
    """The reply of transformers' `generate`, without its end."""
    input_ids = torch.tensor([ids])
    options = {"attention_mask": torch.ones_like(input_ids), "generation_config": config}
    reply: list[int] = cast(Any, network).generate(input_ids=input_ids, **options)[0, len(ids) :].tolist()
    return reply[: reply.index(END) if END in reply else None]
