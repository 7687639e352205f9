"""Architecture and sizes of a language model with new weights."""

from dataclasses import dataclass
from typing import Any, Literal

from transformers import GPT2Config, LlamaConfig, PretrainedConfig

ALIGNMENTS = (64, 32, 16, 8, 1)
"""Multiples that the inner width of a Llama is rounded to, best first: matrix products of such widths are fastest."""

DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


@dataclass
class FromScratch:
    """A new model, with a byte-level BPE vocabulary learned from the training file. Sizes are named as in GPT2Config.

    Args:
        model_type: Architecture: gpt2, or llama (rotary positions, RMSNorm, SwiGLU, grouped-query attention). The inner
            width of a llama is chosen so that it has as many parameters as a GPT-2 of the same sizes.
        n_layer: Number of transformer blocks.
        n_head: Number of attention heads; must divide `n_embd`.
        n_embd: Width of the hidden states.
        n_positions: Size of the window in tokens, for input and output together.
        vocab_size: Largest size of the vocabulary.
        n_kv_head: Number of key and value heads of a llama, each of which serves several attention heads; must divide
            `n_head`. If null, the largest such number that is at most a third of `n_head`, or 1.
        resid_pdrop: Dropout after the attention and the feed-forward layer of each block of a gpt2.
        embd_pdrop: Dropout of the embeddings of a gpt2.
        attn_pdrop: Dropout of the attention weights. On a CPU it costs about a fifth of the speed.
    """

    model_type: Literal["gpt2", "llama"] = "gpt2"
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    n_positions: int = 512
    vocab_size: int = 4096
    n_kv_head: int | None = None
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1

    def check(self) -> None:
        """Raise ValueError for sizes that do not match, such as a width that the number of heads does not divide."""
        option = "model.from_scratch."
        if self.n_embd % self.n_head:
            raise ValueError(f"{option}n_head={self.n_head} does not divide n_embd={self.n_embd}")
        if self.model_type == "gpt2":
            if self.n_kv_head is not None:
                raise ValueError(f"{option}n_kv_head={self.n_kv_head} is an option of a llama; leave it out for a gpt2")
            return
        if self.n_embd // self.n_head % 2:
            raise ValueError(
                f"{option}n_embd={self.n_embd} gives each of n_head={self.n_head} heads an odd width, which a llama "
                "cannot rotate; choose an n_embd that is a multiple of twice n_head"
            )
        if self.n_kv_head is not None and (self.n_kv_head < 1 or self.n_head % self.n_kv_head):
            raise ValueError(f"{option}n_kv_head={self.n_kv_head} does not divide n_head={self.n_head}")

    @property
    def dropouts(self) -> dict[str, Any]:
        """Dropout probabilities by their names in the configuration of the architecture."""
        if self.model_type == "llama":
            return {"attention_dropout": self.attn_pdrop}
        return {name: getattr(self, name) for name in DROPOUTS}

    def config(self, *, vocab_size: int, sep_token_id: int) -> PretrainedConfig:
        """Return the configuration of a new model with a vocabulary of `vocab_size` tokens."""
        tokens: dict[str, Any] = {"vocab_size": vocab_size, "bos_token_id": sep_token_id, "eos_token_id": sep_token_id}
        if self.model_type == "llama":
            return self._llama_config(**tokens)
        names = ("n_layer", "n_head", "n_embd", "n_positions")
        sizes: dict[str, Any] = {name: getattr(self, name) for name in names}
        return GPT2Config(**sizes, **self.dropouts, **tokens, pad_token_id=sep_token_id)

    def _llama_config(self, **tokens: Any) -> LlamaConfig:
        at_most = max(1, self.n_head // 3)
        largest = max(n for n in range(1, at_most + 1) if not self.n_head % n)
        kv_heads = largest if self.n_kv_head is None else self.n_kv_head
        return LlamaConfig(
            num_hidden_layers=self.n_layer,
            num_attention_heads=self.n_head,
            num_key_value_heads=kv_heads,
            hidden_size=self.n_embd,
            intermediate_size=self._inner_width(kv_heads),
            max_position_embeddings=self.n_positions,
            tie_word_embeddings=True,
            **self.dropouts,
            **tokens,
        )

    def _inner_width(self, kv_heads: int) -> int:
        """Return the inner width with which a Llama has as many parameters as a GPT-2, both with tied embeddings.

        A GPT-2 has 12 d^2 + 13 d in each layer, d for each position and 2 d in its last norm; a Llama has
        2 d^2 + 2 d^2 kv_heads / n_head + 3 d * inner width + 2 d in each layer, and d in its last norm.
        """
        width = self.n_embd
        other = width * (2 + 2 * kv_heads / self.n_head)
        exact = (12 * width + 11 + (self.n_positions + 1) / self.n_layer - other) / 3
        # The rounding changes the weights of a layer by less than 1 %.
        return next(
            rounded
            for multiple in ALIGNMENTS
            if abs((rounded := round(exact / multiple) * multiple) - exact) < 0.04 * width or multiple == 1
        )
