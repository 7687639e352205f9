"""The sizes of a model from scratch."""

from dataclasses import dataclass


@dataclass
class FromScratch:
    """A new GPT-2, with a byte-level BPE vocabulary learned from the training file. Names as in GPT2Config.

    Args:
        n_layer: Blocks.
        n_head: Attention heads; they divide `n_embd`.
        n_embd: Width.
        n_positions: Tokens that the model can read at once, those that it writes included.
        vocab_size: Tokens of the vocabulary at most.
        resid_pdrop: Dropout after each block's two parts.
        embd_pdrop: Dropout of the embeddings.
        attn_pdrop: Dropout of the attention weights. On a CPU it costs about a fifth of the speed.
    """

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    n_positions: int = 512
    vocab_size: int = 4096
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1


DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
