"""Contexts in, tokens per second out: ours beside transformers' `generate` and CTranslate2, on a GPT-2 of 124M."""

import argparse
import copy
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    interleave,
    limited_threads,
    machine,
    table,
    tell,
    write_report,
)
from benchmarks.tokenization import load_tokenizer
from convmodel.data.conversation import read_conversations
from convmodel.generation.int8 import to_int8
from convmodel.generation.padded import ModelInput, generate_rows
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.devices import has_fast_bf16
from convmodel.responders.protocol import Session
from convmodel.responders.writer import Writer

T = TypeVar("T")

CLIENTS = 8
TURN = 15
"""The turn whose first token is waited for."""

GREEDY: dict[str, Any] = {"do_sample": False}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is run.

    Args:
        new_tokens: of one stream; its context has half as many.
        reply_tokens: of each reply to a real context.
        requests: of each client.
        pause: seconds between a client's requests, on the average.
    """

    new_tokens: int = 64
    reply_tokens: int = 30
    requests: int = 4
    pause: float = 0.1


def exactly(count: int) -> dict[str, Any]:
    """Return options for greedy replies of exactly `count` tokens."""
    return GREEDY | {"max_new_tokens": count, "min_new_tokens": count}


# What is measured


class Generate:
    """transformers' `generate` in fp32, token types included."""

    def __init__(self, model: ConversationModel) -> None:
        self._model = model
        self._lock = threading.Lock()

    def batch(self, contexts: Sequence[Sequence[str]], count: int) -> list[list[int]]:
        """Return the ids of a reply to each context, in one left-padded batch."""
        how = self._model.decoding(**exactly(count))
        rows = [self._row(context, how.context_limit) for context in contexts]
        return [replies[0] for replies in generate_rows(self._model.hf_model, rows, how.config)]

    def locked(self, context: Sequence[str], count: int) -> list[int]:
        """Return the ids of a reply to one context, while all other calls wait, as in a plain server."""
        with self._lock:
            return self.batch([context], count)[0]

    def _row(self, context: Sequence[str], limit: int) -> ModelInput:
        encoding = self._model.tokenizer(context, max_length=limit)
        return ModelInput(encoding["input_ids"], encoding["token_type_ids"])


class CTranslate2:
    """CTranslate2 in int8, open only while it is measured; its GPT-2 knows no token types."""

    def __init__(self, model: ConversationModel, folder: Path, threads: int) -> None:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter

        model.save_pretrained(folder / "transformers")
        TransformersConverter(str(folder / "transformers")).convert(str(folder / "converted"), quantization="int8")
        config = folder / "converted" / "config.json"
        names = json.loads(config.read_text())  # a vocabulary without an unknown token stops it otherwise
        names |= {name: model.tokenizer.sep_token for name in names if name.endswith("_token") and names[name] is None}
        config.write_text(json.dumps(names))
        options = {"device": "cpu", "compute_type": "int8", "intra_threads": threads}
        self._load = partial(ctranslate2.Generator, str(folder / "converted"), **options)
        self._tokenizer = model.tokenizer

    def open(self, measure: Callable[[], T]) -> T:
        """Load the model, warm it up, and measure."""
        self._generator = self._load()
        try:
            self.batch([["Hello"]], 2)
            return measure()
        finally:
            del self._generator

    def batch(self, contexts: Sequence[Sequence[str]], count: int) -> list[list[int]]:
        """Return the ids of a reply to each context, in one batch."""
        ids = [self._tokenizer(context)["input_ids"] for context in contexts]
        found = self._generator.generate_batch(
            [self._tokenizer.hf_tokenizer.convert_ids_to_tokens(each) for each in ids],
            max_length=count,
            min_length=count,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [each.sequences_ids[0] for each in found]


class Ours:
    """A Writer, open only while it is measured: each keeps threads of its own."""

    def __init__(self, model: ConversationModel) -> None:
        self._model = model

    def open(self, measure: Callable[[], T]) -> T:
        """Open the writer, warm it up, and measure."""
        with Writer(self._model, max_running=CLIENTS, max_kept=2 * CLIENTS) as self.writer:
            self.one(["Hello"], 2)
            return measure()

    def batch(self, contexts: Sequence[Sequence[str]], count: int) -> list[list[int]]:
        """Return the ids of a reply to each context, requested at once."""
        sessions = [Session() for _ in contexts]
        begun = [
            self.writer.start(context, options=exactly(count), session=session)
            for context, session in zip(contexts, sessions, strict=True)
        ]
        for each in begun:
            each.result()
        return [[token for state in each.states for token in state.tokens] for each in begun]

    def one(self, context: Sequence[str], count: int) -> list[int]:
        """Return the ids of a reply to one context."""
        return self.batch([context], count)[0]


# How it is measured


def apart(call: Callable[[], T]) -> T:
    """Calls in a thread of its own, whose OpenMP workers end with it: they would slow the next contender down."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def tokens_per_second(reply: Callable[[], Sequence[Sequence[int]]]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    replies = apart(reply)
    return sum(map(len, replies)) / (time.perf_counter() - begin)


def crowd(
    reply: Callable[[Sequence[str], int], Sequence[int]], talks: Sequence[Sequence[Sequence[str]]], sizes: Sizes
) -> dict[str, float]:
    """Clients who come and ask at random moments, the same for every contender.

    Args:
        reply: a context and a number of tokens in, ids out; called from a thread for each client.
        talks: for each client the contexts that it sends, one after the other.
        sizes: how many tokens, and how long the pauses.

    Returns:
        Tokens per second over all, and the 95th percentile of the seconds that a request took.
    """
    latencies: list[float] = []
    tokens: list[int] = []

    def client(number: int) -> None:
        source = random.Random(number)
        for context in talks[number]:
            time.sleep(source.expovariate(1 / sizes.pause))
            begin = time.perf_counter()
            count = len(reply(context, sizes.reply_tokens))
            latencies.append(time.perf_counter() - begin)
            tokens.append(count)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(talks))]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    return {"tokens/s": sum(tokens) / seconds, "p95": statistics.quantiles(latencies, n=20)[-1]}


def first_token(ours: Ours, turns: Sequence[str], count: int) -> float:
    """Seconds until the first token of a reply to the last turn, when the turn before it was written in the session."""
    session = Session()
    said = ours.writer.start(turns[:-2], options=exactly(count), session=session).result().text
    return _seconds(ours.writer.start([*turns[:-2], said, turns[-1]], options=exactly(1), session=session).result)


def read_bandwidth(threads: int, *, smoke: bool) -> float:
    """Return the bytes per second at which this machine reads uncached memory."""
    numbers = torch.ones((1 << 20) if smoke else (1 << 28))
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.nbytes / (time.perf_counter() - begin))
    return best


def bytes_per_step(model: GPT2LMHeadModel, *, per_weight: int, streams: int, context: int) -> int:
    """Weights, each once, and each stream's keys and values: what one step cannot do without reading."""
    config = model.config
    blocks = sum(p.numel() for p in model.transformer.h.parameters())
    head = config.vocab_size * config.n_embd
    cache = streams * context * config.n_layer * 2 * config.n_embd * 4
    return (blocks + head) * per_weight + cache


# The runs


@dataclass(frozen=True, slots=True)
class Material:
    """What is replied to.

    Args:
        stream: one context of `new_tokens / 2` tokens.
        batch: eight real contexts, of different lengths.
        equal: eight of the length of `stream`, which CTranslate2 likes best.
        talks: for each client its contexts.
        long: a conversation of `TURN` turns.
    """

    stream: list[str]
    batch: list[list[str]]
    equal: list[list[str]]
    talks: list[list[list[str]]]
    long: list[str]


def material(file: Path, model: ConversationModel, sizes: Sizes) -> Material:
    """Return contexts from real conversations."""
    found = [list(c.turns) for c in islice(read_conversations(file), 400)]
    talks = [turns for turns in found if len(turns) >= 2 * sizes.requests]
    encode = model.tokenizer.encode
    length = sizes.new_tokens // 2
    beginnings = ([model.tokenizer.decode(encode(" ".join(turns * 4))[: length - 2])] for turns in found)
    equal = list(islice((each for each in beginnings if len(model.tokenizer(each)["input_ids"]) == length), CLIENTS))
    long = [turn for turns in found for turn in turns][:TURN]
    return Material(
        equal[0],
        [turns[: 2 * (n % sizes.requests) + 1] for n, turns in enumerate(talks[:CLIENTS])],
        equal,
        [[turns[: 2 * n + 1] for n in range(sizes.requests)] for turns in talks[CLIENTS : 2 * CLIENTS]],
        long,
    )


def check_equal(generate: Generate, ours: Ours, data: Material, sizes: Sizes) -> int:
    """Compares every token of greedy replies, alone, in a crowd's contexts and after the long one.

    Raises:
        ValueError: at the first context whose replies differ.
    """
    contexts = [data.long, *data.equal, *data.batch, *(context for talk in data.talks for context in talk)]
    together = ours.batch(contexts, sizes.reply_tokens)
    for context, found in zip(contexts, together, strict=True):
        theirs = generate.batch([context], sizes.reply_tokens)[0]
        if found != theirs:
            raise ValueError(f"the replies to {context} differ: ours {found}, generate {theirs}")
    return len(contexts)


def run(options: argparse.Namespace) -> tuple[list[Ratio], dict[str, Any]]:
    """Checks, then measures."""
    torch.set_num_threads(options.threads)
    sizes = Sizes(new_tokens=16, reply_tokens=4, requests=2, pause=0.01) if options.smoke else Sizes()
    file = conversation_files(options.data, smoke=options.smoke)["test"]
    texts = (turn for c in read_conversations(file) for turn in c.turns)
    tokenizer, vocabulary = load_tokenizer(options.data, texts, smoke=options.smoke)
    shape: dict[str, Any] = {"n_layer": 2, "n_embd": 64, "n_head": 4} if options.smoke else {}
    torch.manual_seed(0)
    network = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), initializer_range=0.1, bos_token_id=None, eos_token_id=None, **shape)
    ).eval()
    quantised = copy.deepcopy(network)
    to_int8(quantised)
    plain = ConversationModel(network, tokenizer)
    generate = Generate(plain)
    mine = {"fp32": Ours(plain), "int8": Ours(ConversationModel(quantised, tokenizer))}
    data = material(file, plain, sizes)
    compared = mine["fp32"].open(partial(apart, partial(check_equal, generate, mine["fp32"], data, sizes)))
    tell(f"replies are identical: {compared} contexts")
    with tempfile.TemporaryDirectory() as folder:
        peer = _ctranslate2(plain, Path(folder), options.threads)
        measured = _measure(options, generate, mine, peer, data, sizes)
    bandwidth = read_bandwidth(options.threads, smoke=options.smoke)
    lengths = [len(tokenizer(context)["input_ids"]) for context in data.batch]
    measured["floors"] = {
        f"{streams} {name}": streams
        * bandwidth
        / bytes_per_step(network, per_weight=size, streams=streams, context=int(statistics.mean(lengths)))
        for streams in (1, CLIENTS)
        for name, size in (("fp32", 4), ("int8", 1))
    }
    measured |= {"vocabulary": vocabulary, "read_bandwidth": bandwidth, "parameters": network.num_parameters()}
    return _ratios(measured, claimed=has_fast_bf16(torch.device("cpu")) and not options.smoke), measured


def _ctranslate2(model: ConversationModel, folder: Path, threads: int) -> CTranslate2 | None:
    try:
        return CTranslate2(model, folder, threads)
    except ImportError:
        tell("CTranslate2 is not there (pip install ctranslate2): measured without it")
        return None


def _measure(
    options: argparse.Namespace,
    generate: Generate,
    mine: dict[str, Ours],
    peer: CTranslate2 | None,
    data: Material,
    sizes: Sizes,
) -> dict[str, Any]:
    rounds = 1 if options.smoke else options.rounds
    batches: dict[str, Callable[[Sequence[Sequence[str]], int], list[list[int]]]] = {
        **{name: ours.batch for name, ours in mine.items()},
        "generate": generate.batch,
    }
    if peer is not None:
        batches["CTranslate2"] = peer.batch
    asked = {name: ours.one for name, ours in mine.items()} | {"locked generate": generate.locked}
    first: dict[str, Callable[[], float]] = {"generate": partial(_seconds, partial(generate.batch, [data.long], 1))}
    for name, ours in mine.items():
        first[name] = partial(first_token, ours, data.long, sizes.reply_tokens)

    def opened(contenders: dict[str, Callable[[], T]]) -> dict[str, Callable[[], T]]:
        owners = mine | ({} if peer is None else {"CTranslate2": peer})
        return {name: partial(owners[name].open, call) if name in owners else call for name, call in contenders.items()}

    one = opened(
        {name: partial(tokens_per_second, partial(b, [data.stream], sizes.new_tokens)) for name, b in batches.items()}
    )
    eight = opened(
        {name: partial(tokens_per_second, partial(b, data.batch, sizes.reply_tokens)) for name, b in batches.items()}
    )
    equal = opened(
        {name: partial(tokens_per_second, partial(b, data.equal, sizes.reply_tokens)) for name, b in batches.items()}
    )
    crowds = opened({name: partial(crowd, reply, data.talks, sizes) for name, reply in asked.items()})
    firsts = opened(first)
    for warm in (one, eight, equal, firsts):
        for contender in warm.values():
            contender()
    return {
        "one": interleave(one, rounds),
        "eight": interleave(eight, rounds),
        "equal": interleave(equal, rounds),
        "crowd": interleave(crowds, rounds),
        "first": interleave(firsts, rounds),
    }


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    apart(call)
    return time.perf_counter() - begin


def _ratios(measured: dict[str, Any], *, claimed: bool) -> list[Ratio]:
    """Return the ratios; the claims apply to CPUs with AMX."""
    one, eight, equal, first = (measured[what] for what in ("one", "eight", "equal", "first"))
    speeds = {name: [each["tokens/s"] for each in runs] for name, runs in measured["crowd"].items()}
    latencies = {name: [each["p95"] for each in runs] for name, runs in measured["crowd"].items()}
    found = []

    def add(name: str, better: list[float], worse: list[float], at_least: float | None) -> None:
        found.append(Ratio.of(name, better, worse, at_least=at_least if claimed else None))

    for kind in ("fp32", "int8"):
        quick = kind == "int8"
        add(f"one stream, {kind}, against generate", one[kind], one["generate"], 2.2 if quick else None)
        add(
            f"8 in a crowd, {kind}, against locked generate",
            speeds[kind],
            speeds["locked generate"],
            8 if quick else None,
        )
        add(f"   their p95 latency, {kind}", latencies["locked generate"], latencies[kind], 1 if quick else None)
        add(f"8 contexts, {kind}, against generate's batch", eight[kind], eight["generate"], 2.5 if quick else None)
        add(f"first token at turn {TURN}, {kind}, against generate", first["generate"], first[kind], 10 if quick else 3)
        if "CTranslate2" in one:
            add(f"one stream, {kind}, against CTranslate2 int8", one[kind], one["CTranslate2"], 1.1 if quick else None)
            for what, speeds_of in (("contexts", eight), ("of equal length", equal)):
                name = f"8 {what}, {kind}, against CTranslate2 int8"
                add(name, speeds_of[kind], speeds_of["CTranslate2"], 1.3 if quick else None)
    return found


def shown(ratios: Sequence[Ratio], measured: dict[str, Any]) -> str:
    """Return the tables."""
    rows = []
    for name in measured["one"]:
        cells = [f"{statistics.median(measured[what][name]):,.0f}" for what in ("one", "eight", "equal")]
        floors = [measured["floors"].get(f"{streams} {name}") for streams in (1, CLIENTS)]
        rows.append([name, *cells, *("" if floor is None else f"{floor:,.0f}" for floor in floors)])
    speeds = table(
        ["tokens/s, greedy", "one stream", "8 contexts", "8 of equal length", "floor of one", "floor of 8"], rows
    )
    rows = [
        [
            name,
            f"{statistics.median(each['tokens/s'] for each in runs):,.0f}",
            f"{statistics.median(each['p95'] for each in runs):.2f} s",
        ]
        for name, runs in measured["crowd"].items()
    ]
    crowds = table(["8 clients at random moments", "tokens/s", "p95"], rows)
    rows = [[name, f"{statistics.median(runs) * 1000:,.0f} ms"] for name, runs in measured["first"].items()]
    firsts = table([f"first token at turn {TURN}", "median"], rows)
    compared = table(["", *RATIO_COLUMNS], [[ratio.name, *ratio.cells()] for ratio in ratios])
    floor = f"floors: weights and cache of a step at the {measured['read_bandwidth'] / 1e9:.1f} GB/s that were measured"
    return "\n\n".join([speeds, floor, crowds, firsts, compared])


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    add_common_options(parser, name="generation", rounds=5)
    add_data_option(parser)
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads):
        ratios, measured = run(options)
    print(described(facts), shown(ratios, measured), sep="\n\n")
    write_report(options.output, facts, ratios=ratios, measured=measured)


if __name__ == "__main__":
    main()
