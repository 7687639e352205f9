"""A training job in, useful tokens per second and peak memory out: ours and its peers, one to a process."""

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.job import (
    BLOCK,
    IGNORED,
    LEARNING_RATE,
    PLAIN_ROWS,
    Batch,
    Job,
    Meter,
    load_model,
    plain_batch,
    plain_row,
    prepare,
    shuffled,
)
from convmodel.data.conversation import read_conversations
from convmodel.models.devices import has_fast_bf16
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer

TAKEN = 4000
"""Conversations that the bare loop and TRL get ready: more than they come to in a run."""


def plain(job: Job) -> dict[str, Any]:
    """The plain loop: 16 conversations in random order, padded, fp32, AdamW, encoded when needed."""
    conversations = shuffled(job)
    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    sep = tokenizer.sep_token_id
    model = load_model(job)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    meter = Meter(job.warm_up, job.seconds)
    start = 0
    going = True
    while going:
        rows = [plain_row(c, tokenizer) for c in conversations[start : start + PLAIN_ROWS]]
        batch = plain_batch(rows, pad_token_id=sep, longest=job.n_positions)
        start = (start + PLAIN_ROWS) % (len(conversations) - PLAIN_ROWS)
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        going = meter.step(int(batch["attention_mask"].sum()))
    return meter.report("fp32")


def dense_blocks(job: Job) -> Batch:
    """Return conversations in consecutive blocks without padding; each tensor has the shape (N, BLOCK)."""
    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    rows = [plain_row(c, tokenizer) for c in shuffled(job, most=TAKEN)]
    found = {}
    for part, name in enumerate(("input_ids", "token_type_ids")):
        flat = torch.tensor([value for row in rows for value in row[part]])
        found[name] = flat[: len(flat) // BLOCK * BLOCK].view(-1, BLOCK)
    return found


def bare(job: Job) -> dict[str, Any]:
    """The bare loop: dense blocks that lie ready in memory, transformers' own loss, the precision of ours."""
    blocks = dense_blocks(job)
    rows = max(1, job.tokens_per_batch // BLOCK)
    model = load_model(job)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    quick = has_fast_bf16(torch.device("cpu"))
    meter = Meter(job.warm_up, job.seconds)
    start = 0
    going = True
    while going:
        batch = {name: values[start : start + rows] for name, values in blocks.items()}
        start = (start + rows) % max(1, len(blocks["input_ids"]) - rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=quick):
            loss = model(**batch, labels=batch["input_ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        going = meter.step(batch["input_ids"].numel())
    return meter.report("bf16" if quick else "fp32")


def useful_tokens(labels: Tensor) -> int:
    """Tokens that are no padding: the last token of a conversation is always a label.

    labels: (B, T), padded on the right with -100.
    """
    places = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    return int(((labels != IGNORED) * places).amax(1).sum())


def ours(job: Job) -> dict[str, Any]:
    """What `python -m convmodel.trainer` runs: the modules of this package, the trainer's defaults."""
    from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

    from convmodel.training.cli import TRAINER_DEFAULTS
    from convmodel.training.conversation_module import ConversationModule
    from convmodel.training.datamodules.conversation import ConversationDataModule
    from convmodel.training.tokenizer import connect

    meter = Meter(job.warm_up, job.seconds)

    class Metered(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
        ) -> None:
            trainer.should_stop = not meter.step(useful_tokens(batch["labels"]))

    seed_everything(job.seed, verbose=False)
    quick = has_fast_bf16(torch.device(job.accelerator))
    trainer = Trainer(
        **TRAINER_DEFAULTS | {"max_epochs": 1000},
        accelerator=job.accelerator,
        devices=1,
        precision="bf16-mixed" if quick else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=job.folder,
        callbacks=[Metered()],
    )
    data = ConversationDataModule(
        job.train_file, tokens_per_batch=job.tokens_per_batch, cache_dir=str(Path(job.folder) / "cache")
    )
    module = ConversationModule(job.model_folder, learning_rate=LEARNING_RATE)
    connect(module, data)
    trainer.fit(module, datamodule=data)
    return meter.report("bf16" if quick else "fp32")


def trl(job: Job) -> dict[str, Any]:
    """Train with TRL's SFTTrainer, packed into the blocks of the bare loop, which is its fastest way on a CPU."""
    return _trl(job, max_length=BLOCK, packing_strategy="wrapped")


def trl_default(job: Job) -> dict[str, Any]:
    """Train with TRL's SFTTrainer and its default packing of whole conversations up to the model's window."""
    return _trl(job, max_length=job.n_positions)


def _trl(job: Job, **packing: Any) -> dict[str, Any]:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTTrainer

    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    rows = [plain_row(c, tokenizer)[0] for c in shuffled(job, most=TAKEN)]
    meter = Meter(job.warm_up, job.seconds)

    class Metered(TrainerCallback):
        seen = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            tokens = int(state.num_input_tokens_seen)
            control.should_training_stop = not meter.step(tokens - self.seen)
            self.seen = tokens

    quick = has_fast_bf16(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as output:
        trainer = SFTTrainer(
            load_model(job),
            _sft_config(job, output, bf16=quick, **packing),
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            processing_class=tokenizer.hf_tokenizer,
            callbacks=[Metered()],
        )
        trainer.train()
    return meter.report("bf16" if quick else "fp32")


def _sft_config(job: Job, output: str, *, bf16: bool, max_length: int, **packing: Any) -> Any:
    """TRL's defaults, but nothing saved or reported, and no gradient checkpointing, which slows down."""
    from trl import SFTConfig

    return SFTConfig(
        output_dir=output,
        packing=True,
        max_length=max_length,
        per_device_train_batch_size=max(1, job.tokens_per_batch // max_length),
        gradient_checkpointing=False,
        bf16=bf16,
        use_cpu=True,
        optim="adamw_torch_fused",
        learning_rate=LEARNING_RATE,
        max_steps=1_000_000,
        include_num_input_tokens_seen="non_padding",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=job.seed,
        **packing,
    )


def equality(job: Job) -> dict[str, Any]:
    """The loss per token of one batch without dropout: transformers' own on the plain batch, and ours.

    Raises:
        ValueError: when what is read, or the loss, is not the same.
    """
    from convmodel.tokens.batching import pad
    from convmodel.tokens.conversation_windows import WindowSet
    from convmodel.tokens.store import TokenStore
    from convmodel.training.conversation_module import ConversationModule

    tokenizer = ConversationTokenizer.from_pretrained(job.model_folder)
    read = ((c, plain_row(c, tokenizer)) for c in read_conversations(job.train_file))
    fitting = list(islice(((c, row) for c, row in read if len(row[0]) <= job.n_positions), PLAIN_ROWS))
    rows = [row for _, row in fitting]
    theirs = plain_batch(rows, pad_token_id=tokenizer.sep_token_id, longest=job.n_positions)
    with tempfile.TemporaryDirectory() as folder:
        store = TokenStore.build([c for c, _ in fitting], tokenizer, Path(folder) / "store")
        windows = WindowSet(store, layout=tokenizer.layout, max_length=job.n_positions)
        mine = pad(windows.read(range(len(windows))), pad_token_id=tokenizer.sep_token_id)
    for name in ("input_ids", "token_type_ids", "labels"):
        if not torch.equal(mine[name], theirs[name]):
            raise ValueError(f"the plain loop and ours read different {name}")
    module = ConversationModule(job.model_folder)
    module.tokenizer = tokenizer
    module.configure_model()
    module.eval()
    with torch.no_grad():
        total, tokens = module(mine)
        expected = float(load_model(job).eval()(**theirs).loss)
    found = float(total / tokens)
    if abs(found - expected) > 1e-4:
        raise ValueError(f"the loss per token is {found} in ours and {expected} in the plain loop")
    return {"ours": found, "plain": expected}


CONTENDERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    run.__name__: run for run in (prepare, equality, ours, plain, bare, trl, trl_default)
}


def run_contender(name: str, job: Job) -> dict[str, Any]:
    """Runs one contender in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CONTENDERS[name](job)


def main() -> None:
    """Runs the contender, the job and for the report the file that the arguments name."""
    name, given, report = sys.argv[1:]
    job = Job(**json.loads(given))
    torch.set_num_threads(job.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    Path(report).write_text(json.dumps(run_contender(name, job)), encoding="utf-8")


if __name__ == "__main__":
    main()
