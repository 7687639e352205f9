"""Minutes and a pretrained model in, perplexity per word out: fine-tuned, zero-shot, from scratch, and by TRL."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

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
from benchmarks.fine_tuning_aims import LABELS, PERPLEXITY, rates_cells, ratios, shown
from benchmarks.fine_tuning_job import EXAMPLE, RATES, Found, Tuning, rates, train_minutes
from benchmarks.fine_tuning_persona import persona_report
from benchmarks.fine_tuning_talk import transcripts
from benchmarks.quality import SIZES, tested
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.examples import evenly_spaced

TESTED = 400
"""Conversations of the test file, evenly spaced, that every contender is tested on."""

CONTENDERS = ("zero", "ours", "scratch", "trl")
WAYS = [(kind, optimizer) for kind in ("gpt2", "llama") for optimizer in ("muon", "adamw")]
"""Architectures and optimisers from scratch; the first is the default of the package."""


def read_example() -> Found:
    """Return the options of the example, which ours runs with."""
    options: Found = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return options


def scratch_options(model_type: str, optimizer: str, *, smoke: bool) -> tuple[str, ...]:
    """Return the trainer's options of a new model with the sizes of the quality benchmark."""
    sizes = {name: value for name, value in SIZES.items() if name != "dropout"}
    sizes |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), SIZES["dropout"])
    if smoke:
        sizes |= {"vocab_size": 300, "n_layer": 1, "n_embd": 32}
    given = {f"model.from_scratch.{name}": value for name, value in sizes.items()}
    given |= {"model.from_scratch.model_type": model_type, "model.optimizer": optimizer}
    return tuple(f"--{name}={value}" for name, value in given.items())


def tuning_options(model: str) -> tuple[str, ...]:
    """Return the trainer's options of ours: the example's, with a model, and without validation."""
    without = ("data.valid_file", "data.test_file", "samples.contexts")
    return (
        f"--config={EXAMPLE}",
        f"--model.pretrained_model_name_or_path={model}",
        *(f"--{name}=null" for name in without),
    )


class Runs:
    """Trains contenders once each, and keeps their folders.

    Args:
        options: of the command line.
        folder: of models and tokens.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        files = conversation_files(options.data, smoke=options.smoke)
        self.options = options
        self.folder = folder
        self.files = {name: path.resolve() for name, path in files.items()}
        lines = self.files["test"].read_text(encoding="utf-8").splitlines(keepends=True)
        self.files["test"] = folder / "test.jsonl"
        chosen = evenly_spaced(len(lines), min(len(lines), TESTED))
        self.files["test"].write_text("".join(lines[n] for n in chosen), encoding="utf-8")
        self.model = str(options.model.resolve())

    def job(self, name: str, contender: str, given: tuple[str, ...] = (), file: Path | None = None) -> Tuning:
        """Return the job of a contender; TRL gets the options of the example."""
        example = read_example()
        lora = example["model"]["lora"]
        return Tuning(
            contender,
            str(file or self.files["train"]),
            str(self.folder / name),
            str(self.folder / "cache"),
            self.model,
            steps=2 if self.options.smoke else Tuning.steps,
            threads=self.options.threads,
            options=given,
            rank=lora["r"],
            alpha=lora["alpha"],
            dropout=lora["dropout"],
            learning_rate=example["model"]["learning_rate"],
            warmup_steps=example["model"]["warmup_steps"],
            tokens_per_batch=example["data"]["tokens_per_batch"],
            max_length=example["data"]["max_length"],
        )

    def train(self, job: Tuning) -> Found:
        """Train, unless the folder is there from an earlier part; return the rates."""
        report = Path(f"{job.output}.json")
        if not report.exists():
            found = train_minutes(job, minutes=self.options.minutes, smoke=self.options.smoke)
            report.write_text(json.dumps(found), encoding="utf-8")
        found = json.loads(report.read_text(encoding="utf-8"))
        return found

    def contender(self, name: str) -> tuple[str, Found]:
        """Return the folder of a contender's model, and what its training reported."""
        if name == "zero":
            return self.model, {}
        job = self.tuning(name)
        return job.output, self.train(job)

    def tuning(self, name: str) -> Tuning:
        """Return the job of a contender by its name."""
        if name == "scratch":
            return self.new_model(*WAYS[0])
        return self.job(name, name, tuning_options(self.model) if name == "ours" else ())

    def new_model(self, kind: str, optimizer: str) -> Tuning:
        """Return the job of a model from scratch."""
        name = "scratch" if (kind, optimizer) == WAYS[0] else f"{kind}-{optimizer}"
        return self.job(name, "scratch", scratch_options(kind, optimizer, smoke=self.smoke))

    @property
    def smoke(self) -> bool:
        """Whether only a small run is wanted."""
        return bool(self.options.smoke)

    def test(self, folder: str) -> Found:
        """Return the perplexities of an exported folder on the test file, unless an earlier part computed them."""
        report = self.folder / f"{Path(folder).name}-test.json"
        if not report.exists():
            found = tested(ConversationModel.from_pretrained(folder, "cpu", "float32"), self.files["test"])
            report.write_text(json.dumps(found), encoding="utf-8")
        read: Found = json.loads(report.read_text(encoding="utf-8"))
        return read


def contenders_report(runs: Runs) -> tuple[Found, str]:
    """Train and test zero-shot, ours, from scratch and TRL, one after the other."""
    found: Found = {}
    for name in runs.options.only:
        tell(f"training and testing: {LABELS[name]}")
        folder, trained = runs.contender(name)
        found[name] = trained | runs.test(folder)
    return found, shown(found)


def four_ways_report(runs: Runs) -> tuple[Found, str]:
    """Train GPT-2 and Llama with AdamW and Muon at equal minutes and parameters."""
    found: Found = {}
    for kind, optimizer in WAYS:
        tell(f"from scratch: {kind}, {optimizer}")
        job = runs.new_model(kind, optimizer)
        trained = runs.train(job)
        parameters = ConversationModel.from_pretrained(job.output, "cpu", "float32").hf_model.num_parameters()
        found[f"{kind}, {optimizer}"] = {"parameters": parameters} | trained | runs.test(job.output)
    header = ["", "parameters", "perplexity per word", "steps", "minutes", "tokens read/s", "useful tokens/s"]
    rows = [
        [name, f"{one['parameters']:,}", f"{one[PERPLEXITY]:.2f}", *rates_cells(one)] for name, one in found.items()
    ]
    return found, table(header, rows)


def transcripts_report(runs: Runs) -> tuple[Found, str]:
    """Talk to the models from scratch, zero-shot and fine-tuned."""
    names = [name for name in ("scratch", "zero", "ours") if name in runs.options.only]
    folders = {LABELS[name]: runs.contender(name)[0] for name in names}
    return transcripts(folders, smoke=runs.smoke)


def tuned_on_persona(runs: Runs) -> tuple[Found, str]:
    """Measure whether the model keeps its persona, zero-shot and fine-tuned on the data with personas."""

    def tune(file: Path) -> str:
        job = runs.job("persona", "ours", (*tuning_options(runs.model), "--model.train_on=last_speaker"), file)
        runs.train(job)
        return job.output

    return persona_report(runs.options.data / "persona", runs.folder, runs.model, tune, smoke=runs.smoke)


def rates_report(runs: Runs) -> tuple[Found, str]:
    """Measure the rates of all contenders, which later parts turn into numbers of steps."""
    found: Found = {}
    for name in runs.options.only:
        if name != "zero":
            found[LABELS[name]] = rates(runs.tuning(name), smoke=runs.smoke)
    for kind, optimizer in WAYS:
        found[f"{kind}, {optimizer}"] = rates(runs.new_model(kind, optimizer), smoke=runs.smoke)
    rows = [[name, *(f"{one[rate]:,.2f}" for rate in RATES)] for name, one in found.items()]
    return found, table(["", *(rate.replace("_", " ") for rate in RATES)], rows)


PARTS: dict[str, Callable[[Runs], tuple[Found, str]]] = {
    "rates": rates_report,
    "contenders": contenders_report,
    "persona": tuned_on_persona,
    "four_ways": four_ways_report,
    "transcripts": transcripts_report,
}


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fine_tuning", description=__doc__)
    add_common_options(parser, name="fine_tuning", rounds=1)
    add_data_option(parser)
    parser.add_argument("--model", type=Path, required=True, help="the folder of SmolLM2-135M-Instruct")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each (default: 20)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS, help="some of the contenders")
    parser.add_argument("--work", type=Path, help="keeps the trained models, so that later runs need not train them")
    for name in ("rates", "persona", "four_ways", "transcripts"):
        parser.add_argument(f"--{name}", action="append_const", dest="parts", const=name, help="this instead")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = parsed(arguments)
    facts = machine(options.threads)
    os.environ.setdefault("PL_GLOBAL_SEED", "1")
    measured: Found = {"minutes": options.minutes, "options": read_example()}
    print(described(facts))
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as temporary:
        torch.set_num_threads(options.threads)
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = Runs(options, folder.resolve())
        for part in options.parts or ("contenders",):
            measured[part], text = PARTS[part](runs)
            print("", text, sep="\n", flush=True)
    found = ratios(measured.get("contenders", {}), claimed=not options.smoke)
    write_report(options.output, facts, ratios=found, measured=measured)


if __name__ == "__main__":
    main()
