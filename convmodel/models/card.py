"""Model cards: the README.md of a saved model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field


def architecture_name(model_type: str) -> str:
    """Return the name of an architecture for use in a sentence, such as "GPT-2" for "gpt2"."""
    return {"gpt2": "GPT-2", "llama": "Llama"}.get(model_type, model_type)


@dataclass(frozen=True, kw_only=True)
class CardText:
    """The parts of a card that are the same for all models of a kind.

    Args:
        title: the heading of the card.
        samples: the heading of the sample outputs.
        tags: Hub tags, in addition to the tags of all models.
        does: one sentence on the model's input and output.
        use: a few lines of Python that use the model.
        layout: the layout of the input; `{sep}` is replaced by the separator.
        limits: limits and risks of the model.
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
    limits="It reproduces what is in its training data, true or false, kind or not. "
    "Check its replies before you let others talk to it.",
)

DOCUMENTS = CardText(
    title="A model that writes documents",
    tags=(),
    does="It reads the metadata of a document and its beginning, both of which may be empty, and continues it.",
    use="from convmodel import DocumentModel\n\n"
    'model = DocumentModel.from_pretrained("path/to/this/folder")\n'
    'print(model.generate("Once upon a time", meta="Cats, dogs").texts[0])',
    layout="`{sep}`, the document's metadata (meta; may be empty), `{sep}`, the text, and `{sep}` at its end. There "
    "are no `token_type_ids`. `document.json` contains the largest lengths of meta and text in tokens.",
    samples="What it writes",
    limits="It reproduces what is in its training data, true or false, kind or not. "
    "Check its texts before you let others read them.",
)


@dataclass(frozen=True)
class ModelCard:
    """Facts about one model.

    Args:
        base_model: the model that it was fine-tuned from; None if it was trained from scratch.
        data: one sentence for each file of training or evaluation data.
        numbers: evaluation results in the order of the table, for example `{"validation loss (nats per token)": 2.31}`.
        training: the training options.
        samples: pairs of the model's input and output.
    """

    base_model: str | None = None
    data: Sequence[str] = ()
    numbers: dict[str, float | int] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    samples: Sequence[tuple[Sequence[str], str]] = ()

    def markdown(
        self,
        kind: CardText,
        *,
        sep_token: str,
        architecture: str,
        parameters: int,
        n_positions: int,
        vocab_size: int,
    ) -> str:
        """Return the card of a language model as Markdown with the Hub's YAML header.

        Args:
            kind: the parts that are the same for all models of a kind.
            sep_token: the separator.
            architecture: the model type of transformers.
            parameters: number of parameters.
            n_positions: size of the window in tokens.
            vocab_size: number of tokens in the vocabulary.
        """
        tags = ", ".join([*kind.tags, "convmodel", architecture])
        name = architecture_name(architecture)
        header = ["library_name: convmodel", "pipeline_tag: text-generation", f"tags: [{tags}]"]
        if self.base_model:
            header.insert(1, f"base_model: {json.dumps(self.base_model)}")
        origin = f"fine-tuned from `{self.base_model}`" if self.base_model else "learned from scratch"
        parts = [
            "\n".join(["---", *header, "---"]),
            f"# {kind.title}",
            f"A {name} with {parameters:,} parameters, {n_positions:,} positions and {vocab_size:,} tokens, {origin} "
            f"with convmodel. {kind.does}",
            f"## Use\n\n```python\n{kind.use}\n```",
            "## Input layout\n\n" + kind.layout.replace("{sep}", sep_token),
        ]
        parts += self.sections()
        if self.samples:
            parts.append(f"## {kind.samples}\n\n" + "\n\n".join(_sample(*sample) for sample in self.samples))
        parts.append(f"## Limits\n\n{kind.limits}")
        return "\n\n".join(parts) + "\n"

    def sections(self) -> list[str]:
        """Return the sections on data, evaluation and training, each of them only if the card has its facts."""
        parts = []
        if self.data:
            parts.append("## Data\n\n" + "\n".join(f"- {line}" for line in self.data))
        if self.numbers:
            shown = {name: f"{n:,}" if isinstance(n, int) else f"{n:.4f}" for name, n in self.numbers.items()}
            rows = [f"| {name} | {value} |" for name, value in shown.items()]
            parts.append("\n".join(["## Evaluation\n", "| measure | value |", "|---|---|", *rows]))
        if self.training:
            rows = [f"| `{name}` | `{value}` |" for name, value in self.training.items()]
            parts.append("\n".join(["## Training\n", "| option | value |", "|---|---|", *rows]))
        return parts


def _sample(context: Sequence[str], reply: str) -> str:
    lines = [*(f"> {turn}" for turn in context), f"> **{reply}**"]
    return "  \n".join(line.replace("\n", " ") for line in lines)
