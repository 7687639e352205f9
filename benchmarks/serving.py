"""Clients in, requests per second and moments of tokens out: ours beside `transformers serve` and a plain handler.

Every server is a process of its own, and so is the load. Replies are greedy and of a fixed length at most.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    limited_threads,
    machine,
    memory_status,
    table,
    tell,
    write_report,
)
from benchmarks.load import Load, Streamed
from benchmarks.tokenization import load_tokenizer
from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel

CLIENTS = (1, 8, 32, 128)
COMPARED_AT = 32
"""Clients at which throughput is claimed."""

AT_LEAST = 8.0

SIZES: dict[str, dict[str, Any]] = {
    "4 x 256": {"n_layer": 4, "n_embd": 256, "n_head": 4},
    "124M": {"n_layer": 12, "n_embd": 768, "n_head": 12},
}

OURS, OURS_INT8, PLAIN, PEER, PEER_CB = (
    "ours",
    "ours, int8",
    "generate behind a lock",
    "transformers serve",
    "transformers serve, continuous batching",
)

STARTING = 180.0
"""Seconds that a server may take until it answers."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Args:
        process: of it.
        url: without a path.
        model: the name that a request gives.
    """

    process: "subprocess.Popen[bytes]"
    url: str
    model: str

    @property
    def memory(self) -> int:
        """Bytes that it held at most."""
        return memory_status("VmHWM", self.process.pid) or 0

    @property
    def held(self) -> int:
        """Bytes that it holds now."""
        return memory_status("VmRSS", self.process.pid) or 0


def command(name: str, folder: Path, port: int, ours: Sequence[str]) -> list[str]:
    """How a server is started; `ours` are further options of our own."""
    if name == PLAIN:
        return [sys.executable, "-m", "benchmarks.plain_server", str(folder), "--port", str(port)]
    if name in (PEER, PEER_CB):
        transformers = shutil.which("transformers", path=str(Path(sys.executable).parent)) or "transformers"
        more = ["--continuous-batching"] if name == PEER_CB else []
        return [transformers, "serve", str(folder), "--port", str(port), "--dtype", "float32", "--device", "cpu", *more]
    dtype = "int8" if name == OURS_INT8 else "float32"
    served = [sys.executable, "-m", "convmodel", "serve", "--model", str(folder), "--port", str(port)]
    return [*served, "--dtype", dtype, "--preset", "off", *ours]


@contextmanager
def serving(name: str, folder: Path, *, ours: Sequence[str] = ("--store", "none")) -> Iterator[Server]:
    """Starts a server, waits until it replies, and ends it; see `command`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with open(folder.parent / "server.log", "ab") as log:
        process = subprocess.Popen(command(name, folder, port, ours), stdout=log, stderr=log, env=dict(os.environ))
    try:
        _wait(url, process, folder.parent / "server.log")
        yield Server(process, url, folder.name if name in (OURS, OURS_INT8) else str(folder))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + STARTING
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def ask(
    server: Server, name: str, contexts: list[list[str]], clients: int, requests: int, tokens: int
) -> list[Streamed]:
    """A load in a process of its own."""
    body: dict[str, Any] = {"model": server.model, "temperature": 0, "max_tokens": tokens}
    if name in (OURS, OURS_INT8):
        body |= {"stream_options": {"include_usage": True}}
    load = Load(f"{server.url}/v1/chat/completions", body, contexts, clients, requests)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"], input=json.dumps(asdict(load)), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return [Streamed(**each) for each in json.loads(done.stdout)]


def summary(streamed: Sequence[Streamed]) -> dict[str, float]:
    """What a load came to: rates, and quantiles in seconds."""
    seconds = max(each.ended for each in streamed) - min(each.asked for each in streamed)
    found = {
        "requests_per_second": len(streamed) / seconds,
        "tokens_per_second": sum(each.tokens for each in streamed) / seconds,
        "tokens": statistics.mean(each.tokens for each in streamed),
    }
    measured = {
        "first": [each.first - each.asked for each in streamed],
        "per_token": [(each.ended - each.first) / max(1, each.tokens - 1) for each in streamed],
        "whole": [each.ended - each.asked for each in streamed],
    }
    for what, values in measured.items():
        found |= {f"{what}_p{q}": quantile(values, q) for q in (50, 95, 99)}
    return found


def quantile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many per cent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


# The benchmark


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser, name="serving", rounds=1)
    add_data_option(parser)
    names = [OURS, OURS_INT8, PLAIN, PEER, PEER_CB]
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load, about")
    parser.add_argument("--tokens", type=int, default=30, help="of a reply at most")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.sizes, options.clients, options.seconds, options.tokens = ["4 x 256"], [2], 0.5, 4
        options.contenders = [OURS, PLAIN]
    with limited_threads(options.threads), tempfile.TemporaryDirectory() as folder:
        facts = machine(options.threads)
        contexts = real_contexts(options)
        measured = {size: _size(size, options, Path(folder), contexts) for size in options.sizes}
    ratios = [ratio for size, found in measured.items() for ratio in _ratios(size, found)]
    for size, found in measured.items():
        print(f"\n{size}\n\n{_table(found)}")
    print(f"\n{table(['ratio', *RATIO_COLUMNS], [[ratio.name, *ratio.cells()] for ratio in ratios])}")
    print(f"\n{described(facts)}")
    write_report(options.output, facts, ratios=ratios, measured=measured)


def real_contexts(options: argparse.Namespace) -> list[list[str]]:
    """Beginnings of real conversations, of 1, 3, 5, ... turns, all different."""
    file = conversation_files(options.data, smoke=options.smoke)["valid"]
    most = 20 if options.smoke else 2_000
    return [list(each.turns[: 1 + 2 * (n % 5)]) for n, each in enumerate(islice(read_conversations(file), most))]


def make_model(size: str, options: argparse.Namespace, folder: Path) -> Path:
    """A model with random weights: how quickly it replies does not depend on what it says."""
    torch.manual_seed(0)
    file = conversation_files(options.data, smoke=options.smoke)["valid"]
    texts = (turn for each in read_conversations(file) for turn in each.turns)
    tokenizer, _ = load_tokenizer(options.data, texts, smoke=options.smoke)
    end = tokenizer.sep_token_id
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), eos_token_id=end, bos_token_id=end, **SIZES[size]))
    with torch.no_grad():
        model.transformer.wte.weight[end].zero_()  # its logit is 0, below the likeliest: no reply ends early
    target = folder / size.replace(" ", "")
    ConversationModel(model, tokenizer).save_pretrained(target)
    return target


def _size(size: str, options: argparse.Namespace, folder: Path, contexts: list[list[str]]) -> dict[str, dict[str, Any]]:
    model = make_model(size, options, folder)
    found: dict[str, dict[str, Any]] = {}
    for name in options.contenders:
        tell(f"{size}: {name}")
        with serving(name, model) as server:
            loads = {}
            pilot = summary(ask(server, name, contexts, 1, 3, options.tokens))
            rate = pilot["requests_per_second"]
            for clients in options.clients:
                requests = max(clients, int(rate * options.seconds))
                loads[clients] = summary(ask(server, name, contexts, clients, requests, options.tokens))
                rate = loads[clients]["requests_per_second"]
                tell(f"  {clients} clients: {rate:.1f} requests/s")
            found[name] = {"loads": loads, "memory": server.memory}
    return found


def _table(found: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, of_server in found.items():
        for clients, load in of_server["loads"].items():
            quantiles = [
                " / ".join(f"{1000 * load[f'{what}_p{q}']:,.0f}" for q in (50, 95, 99))
                for what in ("first", "per_token", "whole")
            ]
            rates = [f"{load['requests_per_second']:.1f}", f"{load['tokens_per_second']:,.0f}"]
            rows.append([name, str(clients), *rates, *quantiles, f"{of_server['memory'] >> 20:,} MiB"])
    header = ["server", "clients", "requests/s", "tokens/s", "first ms, p50/95/99", "per token", "whole", "memory"]
    return table(header, rows)


def _ratios(size: str, found: dict[str, dict[str, Any]]) -> Iterator[Ratio]:
    """Throughput and p95 of ours against each of the others."""
    for ours in (OURS, OURS_INT8):
        for peer in (PLAIN, PEER, PEER_CB):
            if ours not in found or peer not in found:
                continue
            both = [found[name]["loads"].get(COMPARED_AT) for name in (ours, peer)]
            if None in both:
                continue
            mine, other = both
            claimed = AT_LEAST if peer == PLAIN else 1.0
            what = f"{size}: {ours} against {peer}, {COMPARED_AT} clients"
            key = "tokens_per_second"
            yield Ratio.of(f"{what}, tokens/s", [mine[key]], [other[key]], at_least=claimed)
            yield Ratio.of(f"{what}, p95", [other["whole_p95"]], [mine["whole_p95"]], at_least=1.0)


if __name__ == "__main__":
    main()
