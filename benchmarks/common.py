"""Contenders in, ratios and a report out: what the benchmarks share.

Nothing heavy is imported here, so that what is measured can start in a fresh and small process.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("torch", "transformers", "tokenizers", "pytorch-lightning", "trl", "sentence-transformers"),
    *("faiss-cpu", "usearch", "fastapi", "uvicorn"),
)
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")

T = TypeVar("T")


@dataclass(frozen=True)
class Ratio:
    """By how much ours is better than a peer, over the rounds.

    Args:
        name: what ours is compared with, or what of ours is compared.
        median, lowest, highest: of the rounds' ratios; above 1 ours is better.
        at_least: what is claimed; None where nothing is.
    """

    name: str
    median: float
    lowest: float
    highest: float
    at_least: float | None = None

    @classmethod
    def of(
        cls, name: str, better: Sequence[float], worse: Sequence[float], *, at_least: float | None = None
    ) -> "Ratio":
        """Divide round by round; `better` has the numbers that should be larger."""
        ratios = [a / b for a, b in zip(better, worse, strict=True)]
        return cls(name, statistics.median(ratios), min(ratios), max(ratios), at_least)

    @property
    def verdict(self) -> str:
        """The result of the claim."""
        if self.at_least is None:
            return ""
        return "reached" if self.median >= self.at_least else "MISSED"

    def cells(self) -> list[str]:
        """Return median, range, claim and verdict as cells of a table."""
        claimed = "" if self.at_least is None else f"{self.at_least:g}x"
        return [f"{self.median:.2f}x", f"{self.lowest:.2f} .. {self.highest:.2f}", claimed, self.verdict]


RATIO_COLUMNS = ["ratio", "over rounds", "at least", ""]


def interleave(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Runs every contender once a round, one after the other: a busy moment meets all of them."""
    results: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            tell(f"round {number + 1} of {rounds}: {name}")
            results[name].append(run())
    return results


def tell(text: str) -> None:
    """Print a progress message."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table; all columns but the first are aligned right."""
    lines = [list(header), *map(list, rows)]
    wide = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * wide[0], *("-" * (width - 1) + ":" if width else "" for width in wide[1:])]
    padded = [
        [line[0].ljust(wide[0]), *(cell.rjust(width) for cell, width in zip(line[1:], wide[1:], strict=True))]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])


def machine(threads: int) -> dict[str, Any]:
    """Return the properties of the machine and the versions of the measured libraries."""
    cpu = _cpu_information()
    flags = set(cpu.get("flags", "").split())
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": date.today().isoformat(),
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cpu_family_model": f"{cpu.get('cpu family', '?')}/{cpu.get('model', '?')}",
        "flags": {flag: flag in flags for flag in FLAGS},
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def _cpu_information() -> dict[str, str]:
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def described(facts: Mapping[str, Any]) -> str:
    """Return the description of a machine in two lines."""
    flags = ", ".join(f"{flag} {'yes' if there else 'no'}" for flag, there in facts["flags"].items())
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    threads = f"{facts['cores']} cores, {facts['threads']} threads"
    return f"{facts['date']}: {facts['cpu']}, {threads}; {flags}\n{versions}"


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    # Unlike ru_maxrss, it does not begin with what the starting process held.
    bytes_held = memory_status("VmHWM")
    if bytes_held is not None:
        return bytes_held
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def held_memory() -> int:
    """Return the current memory of this process in bytes, or its peak where the current one is unknown."""
    found = memory_status("VmRSS")
    return peak_memory() if found is None else found


def memory_status(name: str, process: int | str = "self") -> int | None:
    """Return a number of bytes from /proc/PID/status such as VmRSS, or None where there is none."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        return int(status.split(f"{name}:")[1].split()[0]) << 10
    except (OSError, IndexError):
        return None


def add_common_options(parser: argparse.ArgumentParser, *, name: str, rounds: int) -> None:
    """Add the options of all benchmarks."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"runs of each (default: {rounds})")
    parser.add_argument("--threads", type=int, default=2, help="threads of every contender (default: 2)")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks" / "results" / f"{name}.json",
        help=f"where the numbers go as JSON (default: benchmarks/results/{name}.json)",
    )
    parser.add_argument("--smoke", action="store_true", help="one small round, only to see that it runs")


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of the benchmarks that read conversations."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("CONVMODEL_DATA") or ROOT.parent / "shared" / "data"),
        help="the folder with self_dialogue, gpt2_bpe and ubuntu_irc (default: $CONVMODEL_DATA, or ../shared/data)",
    )


def conversation_files(data: Path, *, smoke: bool) -> dict[str, Path]:
    """Return the files of train, valid and test: self_dialogue if it exists, else the examples."""
    folder = data / "self_dialogue"
    if smoke or not folder.is_dir():
        if not smoke:
            tell("self_dialogue is not there (--data or CONVMODEL_DATA): measured on examples/data instead")
        folder = ROOT / "examples" / "data"
    return {split: folder / f"{split}.jsonl" for split in ("train", "valid", "test")}


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Set the number of threads of libraries, in this process and in child processes."""
    before = {name: os.environ.get(name) for name in (*THREAD_VARIABLES, "TOKENIZERS_PARALLELISM")}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TOKENIZERS_PARALLELISM": "true"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write_report(
    output: Path, facts: Mapping[str, Any], *, ratios: Sequence[Ratio], measured: Mapping[str, Any]
) -> None:
    """Writes a benchmark's numbers."""
    shown = [asdict(ratio) | {"verdict": ratio.verdict} for ratio in ratios]
    report = {"machine": facts, "ratios": shown, "measured": measured}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tell(f"written: {output.name}")
