"""Fixtures: tiny tokenizers and models in memory, and the folder of real data. The network is never used."""

import gc
import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads of torch that wait do not take the core of another worker
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # at runtime in fixtures alone: the process that distributes the tests needs none of it
    from convmodel.models.conversation_model import ConversationModel
    from convmodel.models.selection.bi_encoder import BiEncoder
    from convmodel.models.selection.encoder import Architecture
    from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

# A program that a shell starts in the background ignores Ctrl-C, as do its child processes; tests send Ctrl-C to them.
signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all tests are imported


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m MARK`, skip the files in which no test has the mark: their imports take seconds."""
    mark = config.getoption("markexpr")
    if collection_path.suffix != ".py" or not mark.isidentifier():
        return None
    return True if f"mark.{mark}" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_finish() -> None:
    """Exempt all imported modules from garbage collection: each full collection would visit their millions of objects.

    Objects that tests create are collected as in any other process.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


TEXTS = [
    "Hello, how are you?",
    "I am fine, thanks. And you? It rains and I like the rain.",
    "Where do you live? I live in a small house by the sea.",
    "Do you like music? Yes, I play the guitar and the piano.",
]
"""The texts from which the small vocabulary is learned."""

PIECES = [
    *["a", "bc", "DEF", "42", "hello", "I", "am", "you"],
    *[".", ",", "!", "?", "'", '"', "(", ")", "#", "_", "-", "+", "=", "/", "\\"],
    *[" ", "  ", "\t", "\n", "\r\n", "\u3000", "\x00", "\x01", "\x1b[0m", "\x7f", "\u200b", "\ufeff"],
    *["é", "ß", "Ω", "ж", "日本語", "こんにちは", "元気？", "한국", "العربية", "👋", "👩‍👩‍👧", "🏳️‍🌈", "e\u0301"],
    *["<sep>", "<|endoftext|>", "<speaker0>", "<speaker1>", "[SEP]", "[CLS]", "</s>", "<s>", "<", ">", "sep"],
]
"""The parts of random texts."""


def random_text(source: random.Random, *, max_pieces: int = 12) -> str:
    """Return a random turn, which is never only white space."""
    while True:
        text = "".join(source.choice(PIECES) for _ in range(source.randint(1, max_pieces)))
        if text.strip():
            return text


def random_turns(source: random.Random, *, max_turns: int = 8, max_pieces: int = 8) -> list[str]:
    """Return the random turns of a conversation."""
    return [random_text(source, max_pieces=max_pieces) for _ in range(source.randint(1, max_turns))]


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed() -> None:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def tokenizer() -> "ConversationTokenizer":
    """A byte-level BPE tokenizer of a few hundred tokens with the separator `<sep>`."""
    from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

    return ConversationTokenizer.learn(TEXTS * 3, 320)


MakeModel = Callable[..., "ConversationModel"]


@pytest.fixture
def make_model(tokenizer: "ConversationTokenizer") -> MakeModel:
    """A factory of GPT-2 models with random weights, large enough that no two logits are equal.

    `ending` above 0 raises the probability of the separator, so that some replies end; at 3 about nine of ten do.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from convmodel.models.conversation_model import ConversationModel

    def make(*, n_positions: int = 64, seed: int = 0, ending: float = 0.0) -> ConversationModel:
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=n_positions,
            n_layer=2,
            n_head=2,
            n_embd=16,
            initializer_range=0.5,
            bos_token_id=tokenizer.sep_token_id,
            eos_token_id=tokenizer.sep_token_id,
        )
        network = GPT2LMHeadModel(config).eval()
        with torch.no_grad():
            separator = network.transformer.wte.weight[tokenizer.sep_token_id]
            network.transformer.ln_f.bias += ending * separator / separator.norm()
        return ConversationModel(network, tokenizer)

    return make


@pytest.fixture
def model(make_model: MakeModel) -> "ConversationModel":
    """A GPT-2 model with 64 positions."""
    return make_model()


MakeSelector = Callable[..., "BiEncoder"]


@pytest.fixture
def make_selector(tokenizer: "ConversationTokenizer") -> MakeSelector:
    """A factory of selectors with random weights, large enough that no two scores are equal."""
    import torch

    from convmodel.models.selection.bi_encoder import BiEncoder
    from convmodel.models.selection.encoder import NewEncoder

    def make(cls: type[BiEncoder] = BiEncoder, architecture: "Architecture" = "bert", **options: object) -> BiEncoder:
        torch.manual_seed(0)
        sizes = NewEncoder(architecture, layers=2, heads=2, width=16, positions=64)
        all_options: dict[str, object] = {"max_context": 60, "max_candidate": 20, **options}
        selector = cls.untrained(tokenizer, sizes, **all_options)
        with torch.no_grad():
            for weights in selector.network.parameters():
                weights.add_(torch.randn_like(weights) * 0.3)
        selector.network.eval()
        return selector

    return make


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data, for tests with the marker `data`."""
    folder = Path(os.environ.get("CONVMODEL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"there is no real data in {folder}; set CONVMODEL_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(data_folder: Path) -> Path:
    """The folder of GPT-2's vocabulary."""
    folder = data_folder / "gpt2_bpe"
    if not (folder / "vocab.json").is_file():
        pytest.skip(f"there is no GPT-2 vocabulary in {folder}")
    return folder
