"""What is known of a model in, its README.md out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CardText:
    """What a card says of all models of a kind.

    Args:
        title: what it is.
        tags: on the Hub, beside those of all models.
        does: what it reads and writes, as one sentence.
        use: a few lines of Python.
        layout: how its input is laid out; `{sep}` is the separator.
        samples: the title over what it wrote.
        limits: what to take care of.
    """

    title: str
    tags: tuple[str, ...]
    does: str
    use: str
    layout: str
    samples: str
    limits: str


CONVERSATIONS = CardText(
    title="A conversation model",
    tags=("conversational",),
    does="It reads the turns so far and writes the next one.",
    use="from convmodel import ConversationModel\n\n"
    'model = ConversationModel.from_pretrained("path/to/this/folder")\n'
    'print(model.generate(["Hello"]).responses[0])',
    layout="`{sep}` stands before each persona sentence, before each turn and at the end; `token_type_ids` "
    "alternate by turn from 0, and the last separator has the type of the speaker who replies. The chat "
    "template reproduces the ids; software that drops `token_type_ids` reads this model less well.",
    samples="What it replies",
    limits="It repeats what its data said, right or wrong, kind or not, and knows nothing of truth. "
    "Look at its replies before you let others talk to it.",
)

DOCUMENTS = CardText(
    title="A model that writes documents",
    tags=(),
    does="It reads what kind of document is wanted and how it begins, both of which may be missing, and goes on.",
    use="from convmodel import DocumentModel\n\n"
    'model = DocumentModel.from_pretrained("path/to/this/folder")\n'
    'print(model.generate("Once upon a time", meta="Cats, dogs").texts[0])',
    layout="`{sep}`, what is known of the document (its meta; may be empty), `{sep}`, the text, and `{sep}` where it "
    "ends. There are no `token_type_ids`. `document.json` says how many tokens meta and text may have.",
    samples="What it writes",
    limits="It repeats what its data said, right or wrong, kind or not, and knows nothing of truth. "
    "Look at its texts before you let others read them.",
)


@dataclass(frozen=True)
class ModelCard:
    """What a person should know before using a model.

    Args:
        base_model: what it was fine-tuned from; None when learned from scratch.
        data: one sentence for each file it was trained and measured on.
        numbers: what was measured, in the order of the table, for example `{"validation loss (nats per token)": 2.31}`.
        training: the options it was trained with.
        samples: what the model read, and what it wrote.
    """

    base_model: str | None = None
    data: Sequence[str] = ()
    numbers: dict[str, float | int] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    samples: Sequence[tuple[Sequence[str], str]] = ()

    def markdown(self, kind: CardText, *, sep_token: str, parameters: int, n_positions: int, vocab_size: int) -> str:
        """The card as Markdown with the Hub's YAML header."""
        tags = ", ".join([*kind.tags, "convmodel", "gpt2"])
        header = ["library_name: convmodel", "pipeline_tag: text-generation", f"tags: [{tags}]"]
        if self.base_model:
            header.insert(1, f"base_model: {json.dumps(self.base_model)}")
        origin = f"fine-tuned from `{self.base_model}`" if self.base_model else "learned from scratch"
        parts = [
            "\n".join(["---", *header, "---"]),
            f"# {kind.title}",
            f"A GPT-2 with {parameters:,} parameters, {n_positions:,} positions and {vocab_size:,} tokens, {origin} "
            f"with convmodel. {kind.does}",
            f"## Use\n\n```python\n{kind.use}\n```",
            "## Input layout\n\n" + kind.layout.replace("{sep}", sep_token),
        ]
        parts += self.told()
        if self.samples:
            parts.append(f"## {kind.samples}\n\n" + "\n\n".join(_sample(*sample) for sample in self.samples))
        parts.append(f"## Limits\n\n{kind.limits}")
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
