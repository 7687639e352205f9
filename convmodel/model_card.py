"""What is known of a model in, its README.md out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelCard:
    """What a person should know before using a model.

    Args:
        base_model: what it was fine-tuned from; None when learned from scratch.
        data: one sentence for each file it was trained and measured on.
        numbers: what was measured, in the order of the table, for example `{"validation loss (nats per token)": 2.31}`.
        training: the options it was trained with.
        samples: contexts and what the model replied.
    """

    base_model: str | None = None
    data: Sequence[str] = ()
    numbers: dict[str, float | int] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    samples: Sequence[tuple[Sequence[str], str]] = ()

    def markdown(self, *, sep_token: str, parameters: int, n_positions: int, vocab_size: int) -> str:
        """The card as Markdown with the Hub's YAML header."""
        header = ["library_name: convmodel", "pipeline_tag: text-generation", "tags: [conversational, convmodel, gpt2]"]
        if self.base_model:
            header.insert(1, f"base_model: {json.dumps(self.base_model)}")
        origin = f"fine-tuned from `{self.base_model}`" if self.base_model else "learned from scratch"
        parts = [
            "\n".join(["---", *header, "---"]),
            "# A conversation model",
            f"A GPT-2 with {parameters:,} parameters, {n_positions:,} positions and {vocab_size:,} tokens, {origin} "
            "with convmodel. It reads the turns so far and writes the next one.",
            "## Use\n\n```python\nfrom convmodel import ConversationModel\n\n"
            'model = ConversationModel.from_pretrained("path/to/this/folder")\n'
            'print(model.generate(["Hello"]).responses[0])\n```',
            "## Input layout\n\n"
            f"`{sep_token}` stands before each persona sentence, before each turn and at the end; `token_type_ids` "
            "alternate by turn from 0, and the last separator has the type of the speaker who replies. The chat "
            "template reproduces the ids; software that drops `token_type_ids` reads this model less well.",
        ]
        parts += self.told()
        if self.samples:
            parts.append("## What it replies\n\n" + "\n\n".join(_sample(*sample) for sample in self.samples))
        parts.append(
            "## Limits\n\nIt repeats what its data said, right or wrong, kind or not, and knows nothing of truth. "
            "Look at its replies before you let others talk to it."
        )
        return "\n\n".join(parts) + "\n"

    def told(self) -> list[str]:
        """The parts on data, evaluation and training, of what is known."""
        parts = []
        if self.data:
            parts.append("## Data\n\n" + "\n".join(f"- {line}" for line in self.data))
        if self.numbers:
            rows = [f"| {name} | {_show(value)} |" for name, value in self.numbers.items()]
            parts.append("\n".join(["## Evaluation\n", "| measure | value |", "|---|---|", *rows]))
        if self.training:
            rows = [f"| `{name}` | `{value}` |" for name, value in self.training.items()]
            parts.append("\n".join(["## Training\n", "| option | value |", "|---|---|", *rows]))
        return parts


def _show(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _sample(context: Sequence[str], reply: str) -> str:
    lines = [*(f"> {turn}" for turn in context), f"> **{reply}**"]
    return "  \n".join(line.replace("\n", " ") for line in lines)
