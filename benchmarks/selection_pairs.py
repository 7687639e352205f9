"""Real contexts with their responses in, training material out: what the benchmarks of training selectors share."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from transformers import AutoModel

from benchmarks.common import conversation_files, tell
from convmodel.data.selection_example import iter_examples
from convmodel.models.folder import quiet_progress
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.encoder import NewEncoder
from convmodel.models.selection.layout import EncoderInput
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.selection_dataset import TokenisedChoice
from convmodel.training.selector_module import SelectorModule
from convmodel.training.selector_modules import BiEncoderModule, PolyEncoderModule

SIZES = NewEncoder("bert", vocab_size=8_192, layers=4, heads=4, width=256)
SMOKE_SIZES = NewEncoder("bert", vocab_size=300, layers=1, heads=2, width=32)

COSINE_SCALE = 20.0
"""Of ours, and of sentence-transformers' loss, whose default it is."""

MODULES: dict[str, type[BiEncoderModule | PolyEncoderModule]] = {
    "bi-encoder": BiEncoderModule,
    "poly-encoder": PolyEncoderModule,
}

Pair = tuple[Sequence[str], str]
"""A context, oldest turn first, and its response."""


@dataclass(frozen=True)
class Material:
    """What every contender is given.

    Args:
        file: the examples.
        pairs: those of the file, in an order drawn once.
        base: the folder of the encoder that all begin with, as transformers saves it.
        tokenizer: its own.
    """

    file: Path
    pairs: list[Pair]
    base: Path
    tokenizer: ConversationTokenizer

    @property
    def name(self) -> str:
        """Of the data, for tables."""
        folder = self.file.parent
        return folder.name if folder.name == "ubuntu_irc" else f"{folder.parent.name}/{folder.name}"

    def tokenised(self, count: int) -> list[TokenisedChoice]:
        """The first examples whose contexts and responses are all different."""
        found: dict[str, Pair] = {}
        contexts = set()
        for turns, response in self.pairs:
            if len(found) < count and response not in found and tuple(turns) not in contexts:
                found[response] = turns, response
                contexts.add(tuple(turns))
        return [self._tokenised(*pair) for pair in found.values()]

    def drawn(self, batch_size: int, *, seed: int) -> Iterator[list[TokenisedChoice]]:
        """Random batches without end, of up to 4,000 examples that are made ready first."""
        ready = [self._tokenised(*pair) for pair in self.pairs[:4_000]]
        source = random.Random(seed)
        while True:
            yield source.sample(ready, batch_size)

    def _tokenised(self, turns: Sequence[str], response: str) -> TokenisedChoice:
        return TokenisedChoice(self.tokenizer.encode_many(turns), [], self.tokenizer.encode(response), [])


def prepare(folder: Path, data: Path, *, smoke: bool) -> Material:
    """Reads ubuntu_irc, or examples/data where it is not there; learns a vocabulary and draws weights."""
    file = data / "ubuntu_irc" / "train.jsonl"
    if smoke or not file.is_file():
        if not smoke:
            tell("ubuntu_irc is not there (--data or CONVMODEL_DATA): measured on examples/data instead")
        file = conversation_files(data, smoke=True)["train"]
    pairs = list(read_pairs(file))
    random.Random(0).shuffle(pairs)
    sizes = SMOKE_SIZES if smoke else SIZES
    tell("learning the vocabulary")
    tokenizer = ConversationTokenizer.learn((text for c, r in pairs for text in (c[-1], r)), sizes.vocab_size)
    torch.manual_seed(0)
    base = folder / "base"
    with quiet_progress():
        AutoModel.from_config(sizes.config(tokenizer)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    return Material(file, pairs, base, tokenizer)


def read_pairs(file: Path) -> Iterator[Pair]:
    """What a file gives as examples, or of conversations every turn after the first."""
    return ((one.context, one.response) for one in iter_examples(file))


@dataclass(frozen=True)
class Recipe:
    """How a module is made.

    Args:
        kind: of `MODULES`.
        max_context, max_candidate: tokens.
        cached: see `SelectorModule.cached_gradients`.
        learning_rate: of the trainer.
    """

    kind: str
    max_context: int
    max_candidate: int
    cached: bool = False
    learning_rate: float = 1e-3

    def build(self, base: Path) -> SelectorModule:
        """A module around the encoder of `base`, ready to be trained; what is new in it is always drawn alike."""
        torch.manual_seed(0)
        module = MODULES[self.kind](
            pretrained_model_name_or_path=str(base),
            pooling="mean",
            cosine_scale=COSINE_SCALE,
            cached_gradients=self.cached,
            max_context=self.max_context,
            max_candidate=self.max_candidate,
            learning_rate=self.learning_rate,
        )
        module.configure_model()
        module.train()
        return module


def rows_of(
    module: SelectorModule, examples: Sequence[TokenisedChoice]
) -> tuple[list[EncoderInput], list[EncoderInput]]:
    """Of contexts, and of responses."""
    selector = cast(BiEncoder, module.selector)
    contexts = [selector.context_row(one.turns) for one in examples]
    return contexts, [selector.candidate_row(one.response) for one in examples]
