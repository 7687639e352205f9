"""Conversations and minutes in, perplexity and transcripts out: ours and the plain loop under one budget."""

import argparse
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import (
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from benchmarks.contenders import run_contender
from benchmarks.job import PLAIN_ROWS, Job, load_model, plain_batch, plain_row, shuffled
from benchmarks.training import SMOKE, in_own_process
from convmodel.data.conversation import ConversationReader
from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.trainer import main as trainer
from convmodel.training.schedule import learning_rate_at

LEARNING_RATE = 1e-3
WARMUP_STEPS = 100
SIZES: dict[str, Any] = {"vocab_size": 4096, "n_layer": 4, "n_embd": 256, "n_head": 4, "dropout": 0.0}
"""A model that comes to see all conversations within the budget; too small and too quickly trained to overfit."""

SAID = (
    ("Hi! Do you like movies?", "Who is your favorite actor?", "What is the last movie you saw?"),
    ("What kind of music do you listen to?", "Do you like going to concerts?", "I like rock the most."),
    ("Did you watch the game last night?", "Who do you think will win this year?", "They have a good team."),
)
"""What a person says in the transcripts; the model answers each line."""


@dataclass(frozen=True)
class Trained:
    """What a budget came to.

    Args:
        loop: ours or plain.
        steps: optimiser steps.
        epochs: how often each conversation was read.
        seconds: of wall clock that they took.
        tested: loss and perplexities on the test file.
        transcripts: for each of `SAID`, the turns of both.
    """

    loop: str
    steps: int
    epochs: float
    seconds: float
    tested: dict[str, float]
    transcripts: list[list[str]]


def steps_within(name: str, job: Job, minutes: float, *, smoke: bool) -> int:
    """Return the optimiser steps of a loop within the budget at its current speed."""
    if smoke:
        return 2
    run = in_own_process(name, job)
    steps = int(minutes * 60 * run["steps"] / run["seconds"])
    tell(f"{name}: {run['tokens_per_second']:,.0f} useful tokens/s, so {steps:,} steps in {minutes:g} minutes")
    return steps


def train_ours(job: Job, steps: int, output: Path) -> float:
    """The trainer's command line, with the weights with which both begin; gives the epochs."""
    options = {
        "data.train_file": job.train_file,
        "data.tokens_per_batch": job.tokens_per_batch,
        "data.cache_dir": f"{job.folder}/cache",
        "model.pretrained_model_name_or_path": job.model_folder,
        "model.learning_rate": LEARNING_RATE,
        "model.warmup_steps": WARMUP_STEPS,
        "trainer.max_steps": steps,
        "trainer.max_epochs": -1,
        "trainer.accelerator": job.accelerator,
        "trainer.default_root_dir": job.folder,
        "export_dir": output,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    trainer(["fit", *given, "--trainer.enable_progress_bar=false"])
    state = torch.load(next(Path(job.folder).rglob("last.ckpt")), weights_only=True)["loops"]["fit_loop"]
    batches: int = state["state_dict"]["combined_loader"][0]["batches"]
    return float(state["epoch_progress"]["current"]["processed"]) + batches / max(1, _batches(job))


def _batches(job: Job) -> int:
    from convmodel.tokens.batching import TokenBudgetSampler
    from convmodel.tokens.conversation_windows import WindowSet
    from convmodel.tokens.store import TokenStore

    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    store = TokenStore(next((Path(job.folder) / "cache" / "tokens").iterdir()))
    windows = WindowSet(store, layout=tokenizer.layout, max_length=job.n_positions)
    return len(TokenBudgetSampler(windows.lengths, tokens_per_batch=job.tokens_per_batch, shuffle=False))


def train_plain(job: Job, steps: int, output: Path) -> float:
    """The plain loop of the training benchmark, with the learning rate and the schedule of ours; gives the epochs."""
    conversations = shuffled(job)
    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    model = load_model(job)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    order = random.Random(job.seed)
    place = 0
    for step in range(steps):
        if place + PLAIN_ROWS > len(conversations):
            order.shuffle(conversations)
            place = 0
        rows = [plain_row(c, tokenizer) for c in conversations[place : place + PLAIN_ROWS]]
        place += PLAIN_ROWS
        batch = plain_batch(rows, pad_token_id=tokenizer.sep_token_id, longest=job.n_positions)
        model(**batch).loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(
                step, peak=LEARNING_RATE, warmup_steps=WARMUP_STEPS, total_steps=steps, schedule="cosine"
            )
        optimizer.step()
        optimizer.zero_grad()
    ConversationModel(model, tokenizer).save_pretrained(output)
    return steps * PLAIN_ROWS / len(conversations)


def tested(model: ConversationModel, file: Path) -> dict[str, float]:
    """What `python -m convmodel evaluate` and the trainer's `test` find, for both loops alike."""
    from convmodel.reports.evaluation.likelihood import likelihoods
    from convmodel.reports.evaluation.reply_metrics import likelihood_metrics

    read = likelihoods(model, list(ConversationReader(file)))
    found = {f"test_{metric.name}": metric.value for metric in likelihood_metrics(read)}
    return {"test_loss": math.log(found["test_perplexity"]), **found}


def transcript(model: ConversationModel, said: Sequence[str], **options: Any) -> list[str]:
    """Return alternating lines of a person and replies of the model, with its default decoding and seed 1."""
    torch.manual_seed(1)
    turns: list[str] = []
    for line in said:
        turns.append(line)
        turns.append(model.generate(turns, **options).responses[0] or "...")
    return turns


def compare(job: Job, files: dict[str, Path], minutes: float, *, smoke: bool) -> list[Trained]:
    """Prepare the data, compute the steps within the budget, and train and test both loops."""
    tell("learning the vocabulary")
    run_contender("prepare", job)
    steps = {name: steps_within(name, job, minutes, smoke=smoke) for name in ("ours", "plain")}
    found = []
    for name, train in {"ours": train_ours, "plain": train_plain}.items():
        tell(f"training: {name}")
        output = Path(job.folder) / f"{name}-model"
        begin = time.perf_counter()
        epochs = train(job, steps[name], output)
        seconds = time.perf_counter() - begin
        model = ConversationModel.from_pretrained(output, job.accelerator, "float32")
        options = {"max_new_tokens": 4} if smoke else {}
        transcripts = [transcript(model, said, **options) for said in SAID]
        found.append(Trained(name, steps[name], epochs, seconds, tested(model, files["test"]), transcripts))
    return found


def shown(found: Sequence[Trained]) -> str:
    """Return a table with a row for each loop, and the transcripts."""
    rows = [
        [
            {"ours": "ours", "plain": "the plain loop"}[loop.loop],
            f"{loop.steps:,}",
            f"{loop.epochs:.2f}",
            f"{loop.seconds / 60:.1f}",
            f"{loop.tested['test_loss']:.3f}",
            f"{loop.tested['test_perplexity']:.2f}",
            f"{loop.tested['test_perplexity_per_word']:.1f}",
        ]
        for loop in found
    ]
    header = ["loop", "steps", "epochs", "minutes taken", "test loss", "perplexity per token", "per word"]
    talks = [
        f"{loop.loop}:\n\n"
        + "\n".join(f"> {'**' if n % 2 else ''}{turn}{'**' if n % 2 else ''}  " for n, turn in enumerate(talk))
        for loop in found
        for talk in loop.transcripts
    ]
    return "\n\n".join([table(header, rows), *talks])


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add_common_options(parser, name="quality", rounds=1)
    add_data_option(parser)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each loop (default: 20)")
    parser.add_argument("--accelerator", default="cpu", help="for ours: cpu or cuda (default: cpu)")
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    files = {name: path.resolve() for name, path in conversation_files(options.data, smoke=options.smoke).items()}
    os.environ.setdefault("PL_GLOBAL_SEED", "1")
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(options.threads)
        job = Job(folder, str(files["train"]), threads=options.threads, accelerator=options.accelerator, **SIZES)
        if options.smoke:
            job = replace(job, **SMOKE)
        found = compare(job, files, options.minutes, smoke=options.smoke)
    print(described(facts), shown(found), sep="\n\n")
    measured = {"minutes": options.minutes, "sizes": SIZES, "loops": [asdict(one) for one in found]}
    write_report(options.output, facts, ratios=[], measured=json.loads(json.dumps(measured)))


if __name__ == "__main__":
    main()
