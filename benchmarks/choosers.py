"""A job in, models that score candidates out: ours by the trainer's command, the peers on the same encoder."""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convmodel.data.selection_example import SelectionExample, SelectionReader
from convmodel.models.selection.encoder_selector import pretrained_encoder
from convmodel.models.selection.selector import Selector
from convmodel.reports.evaluation.candidate_pools import CandidatePool, Pools
from convmodel.reports.evaluation.response_selection import score_pools
from convmodel.training.schedule import learning_rate_at

LEARNING_RATE = 1e-3
CROSS_LEARNING_RATE = 5e-4
"""Of cross-encoders, which go on from a trained one."""

COSINE_SCALE = 20.0
"""Of ours and of sentence-transformers' loss, whose default it is."""

NEGATIVES = 7
"""Of each context in a step of a cross-encoder, ours and sentence-transformers'."""

MODULES = {
    "bi-encoder": "BiEncoderModule",
    "poly-encoder": "PolyEncoderModule",
    "cross-encoder": "CrossEncoderModule",
    "ConveRT": "ConvertModule",
}

Score = Callable[[Sequence[SelectionExample]], Iterator[np.ndarray]]
"""Examples in, (C,) scores of each one's candidates out."""


@dataclass(frozen=True)
class Work:
    """What every contender is given.

    Args:
        name: of the data set.
        folder: where its files and models are kept.
        train, valid, test: files of examples.
        base: the folder of the bi-encoder that is begun with; ConveRT has one of its own kind beside it.
        steps, batch_size: of the models that encode apart.
        cross_steps, cross_batch: of those that read pairs.
        max_context, max_candidate: tokens.
        sizes: of what is learned from scratch, as options of the trainer.
    """

    name: str
    folder: Path
    train: Path
    valid: Path
    test: Path
    base: Path
    steps: int
    batch_size: int
    cross_steps: int
    cross_batch: int
    max_context: int
    max_candidate: int
    sizes: dict[str, Any] = field(default_factory=dict)


def train_ours(kind: str, work: Work, *, base: Path | None, output: Path, **options: Any) -> float:
    """Runs the trainer's command; gives the seconds that it took. The output appears when all steps are done."""
    from convmodel.trainer import main

    cross = kind == "cross-encoder"
    given: dict[str, Any] = {
        "data.train_file": work.train,
        "data.valid_file": work.valid,
        "data.batch_size": work.cross_batch if cross else work.batch_size,
        "data.cache_dir": work.folder / "cache",
        "model.learning_rate": CROSS_LEARNING_RATE if cross else LEARNING_RATE,
        "model.warmup_steps": max(1, (work.cross_steps if cross else work.steps) // 10),
        "trainer.max_steps": work.cross_steps if cross else work.steps,
        "trainer.max_epochs": -1,
        "trainer.limit_val_batches": 4,
        "trainer.accelerator": "cpu",
        "trainer.logger": "false",
        "trainer.default_root_dir": work.folder / f"run-{output.name}",
        "trainer.enable_progress_bar": "false",
    }
    if cross:
        given |= {"model.negatives": NEGATIVES, "model.compare_pooled": "true"}
    if kind != "ConveRT":
        given |= {"model.max_context": work.max_context, "model.max_candidate": work.max_candidate}
        given["model.pooling"] = "mean"
    if kind in ("bi-encoder", "poly-encoder"):
        given["model.cosine_scale"] = COSINE_SCALE
    given |= {"model.pretrained_model_name_or_path": base} if base is not None else work.sizes
    given |= options
    fresh = output.with_name(f"{output.name}-in-training")  # the best so far is there after each validation
    given["export_dir"] = fresh
    module = f"convmodel.training.{MODULES[kind]}"
    begun = time.perf_counter()
    arguments = [f"--model={module}", "--data=convmodel.training.SelectionDataModule"]
    main(["fit", *arguments, *(f"--{name}={value}" for name, value in given.items())])
    fresh.rename(output)
    return time.perf_counter() - begun


def ours(folder: Path) -> Score:
    """Return the scores of a trained selector."""
    selector = Selector.from_pretrained(folder, device="cpu", dtype="float32")

    def score(examples: Sequence[SelectionExample]) -> Iterator[np.ndarray]:
        numbered = [CandidatePool(number, number, one) for number, one in enumerate(examples, start=1)]
        pools = Pools(numbered, location="example {}".format, data={}, candidates={})
        return (scores for scores, _ in score_pools(selector, pools))

    return score


# The peers


def bm25(examples: Sequence[SelectionExample]) -> Iterator[np.ndarray]:
    """Yield Okapi BM25 scores of the distinct words of persona and context over all candidates of the file."""
    from rank_bm25 import BM25Okapi

    texts = list(dict.fromkeys(text for one in examples for text in one.candidates))
    places = {text: number for number, text in enumerate(texts)}
    index = BM25Okapi([_words(text) for text in texts])
    for one in examples:
        asked = list(dict.fromkeys(_words(" ".join([*one.persona, *one.context]))))
        yield np.asarray(index.get_batch_scores(asked, [places[text] for text in one.candidates]))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def constant(examples: Sequence[SelectionExample]) -> Iterator[np.ndarray]:
    """Return equal scores for all candidates."""
    return (np.zeros(len(one.candidates)) for one in examples)


def export_encoder(base: Path, folder: Path, *, max_context: int) -> str:
    """Save the initial encoder in the format of transformers, for the peers."""
    encoder, tokenizer = pretrained_encoder(base)
    encoder.hf_model.save_pretrained(folder)
    plain = tokenizer.hf_tokenizer
    plain.truncation_side = "left"  # what is oldest goes, as in ours
    plain.model_max_length = max_context
    plain.save_pretrained(folder)
    return tokenizer.sep_token


def spoken(one: SelectionExample, sep: str) -> str:
    """Return a context as one text, with the separator's token between turns."""
    return f" {sep} ".join([*one.persona, *one.context])


def drawn(path: Path, *, batch_size: int, steps: int, seed: int = 1) -> Iterator[list[SelectionExample]]:
    """Yield a random batch of examples for each step."""
    examples = list(SelectionReader(path))
    source = random.Random(seed)
    while True:
        source.shuffle(examples)
        for start in range(0, len(examples) - batch_size + 1, batch_size):
            if not steps:
                return
            steps -= 1
            yield examples[start : start + batch_size]


def fit_peer(
    module: torch.nn.Module, losses: Iterator[torch.Tensor], steps: int, *, peak: float = LEARNING_RATE
) -> None:
    """The steps of ours: AdamW, warm-up and cosine, clipping."""
    matrices = [w for w in module.parameters() if w.dim() > 1]
    others = [w for w in module.parameters() if w.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    for step, loss in enumerate(losses):
        rate = learning_rate_at(step, peak=peak, warmup_steps=max(1, steps // 10), total_steps=steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def sentence_bi(work: Work) -> tuple[Score, float]:
    """sentence-transformers' bi-encoder with its MultipleNegativesRankingLoss, on the encoder of ours."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = work.folder / "peer-encoder"
    sep = export_encoder(work.base, folder, max_context=work.max_context)
    model = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(_width(work.base), "mean")], device="cpu")
    loss = MultipleNegativesRankingLoss(model, scale=COSINE_SCALE)
    model.train()

    def losses() -> Iterator[torch.Tensor]:
        for batch in drawn(work.train, batch_size=work.batch_size, steps=work.steps):
            texts = [[spoken(one, sep) for one in batch], [one.response for one in batch]]
            yield loss([model.preprocess(column) for column in texts], torch.empty(0))

    begun = time.perf_counter()
    fit_peer(model, losses(), work.steps)
    seconds = time.perf_counter() - begun
    model.eval()

    def score(examples: Sequence[SelectionExample]) -> Iterator[np.ndarray]:
        texts = list({text for one in examples for text in one.candidates})
        places = {text: number for number, text in enumerate(texts)}
        vectors = model.encode(texts, batch_size=128, normalize_embeddings=True)
        contexts = model.encode([spoken(one, sep) for one in examples], normalize_embeddings=True)
        for context, one in zip(contexts, examples, strict=True):
            yield vectors[[places[text] for text in one.candidates]] @ context

    return score, seconds


def sentence_cross(work: Work) -> tuple[Score, float]:
    """sentence-transformers' cross-encoder with its MultipleNegativesRankingLoss, on the encoder of ours."""
    from sentence_transformers.cross_encoder import CrossEncoder
    from sentence_transformers.cross_encoder.losses import MultipleNegativesRankingLoss

    folder = work.folder / "peer-cross-encoder"
    longest = work.max_context + work.max_candidate
    sep = export_encoder(work.base, folder, max_context=longest)
    model = CrossEncoder(str(folder), num_labels=1, max_length=longest, device="cpu")
    loss = MultipleNegativesRankingLoss(model, num_negatives=NEGATIVES)
    model.train()

    def losses() -> Iterator[torch.Tensor]:
        for batch in drawn(work.train, batch_size=work.cross_batch, steps=work.cross_steps):
            columns = [[spoken(one, sep) for one in batch], [one.response for one in batch]]
            yield loss(columns, torch.empty(0))

    begun = time.perf_counter()
    fit_peer(model, losses(), work.cross_steps, peak=CROSS_LEARNING_RATE)
    seconds = time.perf_counter() - begun
    model.eval()

    def score(examples: Sequence[SelectionExample]) -> Iterator[np.ndarray]:
        for one in examples:
            pairs = [(spoken(one, sep), text) for text in one.candidates]
            yield np.asarray(model.predict(pairs, batch_size=128, show_progress_bar=False))

    return score, seconds


def _width(base: Path) -> int:
    return pretrained_encoder(base)[0].width
