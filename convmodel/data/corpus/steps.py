"""Steps from a dump to a corpus. Each step reads some files, and atomically writes one folder or file.

1. `split`, one step for each input file: its rows, in buckets by a hash of the thread.
2. `build`, one for each bucket: the conversations of its threads, in buckets by a hash of the text.
3. `sign` and `compare`, only to remove near-duplicates, one for each bucket each: MinHash signatures in buckets by
   bands of equal values, then the conversations that are similar to an earlier one.
4. `write`, one for each bucket of texts: the conversations without duplicates, as files of train, valid and test.

Hashes do not depend on the process, and rows are sorted before they are used. The files are therefore the same to the
byte, regardless of the processes that run the steps, and of their number. A step whose output exists is skipped.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from convmodel.data.atomic import atomic_folder
from convmodel.data.corpus.dump import Dump
from convmodel.data.corpus.filters import Filters
from convmodel.data.corpus.near_duplicates import band_hashes
from convmodel.data.corpus.rows import BucketWriter, Row, bucket_file, read_rows
from convmodel.data.corpus.shards import write_shard
from convmodel.data.step_runner import Step

COUNTS = "counts.json"
SPLITS = ("train", "valid", "test")
_FOLD = 10_000


@dataclass(frozen=True)
class CorpusPlan:
    """The options of a corpus; equal plans give equal files.

    Args:
        dump: the kind of the input files.
        inputs: paths of the input files.
        output: folder of the corpus.
        buckets: number of buckets, each of which one step reads into memory.
        filters: filters of turns and conversations.
        shares: shares of the threads that become validation and test data.
        similarity: smallest estimated Jaccard similarity of near-duplicates; None keeps them.
        suffix: ".jsonl.zst", ".jsonl.gz", ".jsonl" or ".parquet", the format of the corpus.
    """

    dump: Dump
    inputs: tuple[str, ...]
    output: Path
    buckets: int
    filters: Filters
    shares: tuple[float, float] = (0.005, 0.005)
    similarity: float | None = None
    suffix: str = ".jsonl.zst"

    @property
    def work(self) -> Path:
        """The folder of the output of steps."""
        return self.output / ".steps"

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON."""
        limits = asdict(self.filters.limits)
        filters = {"words": list(self.filters.words), "language": self.filters.language}
        shares = dict(zip(SPLITS[1:], self.shares, strict=True))
        others = {"certainty": self.filters.certainty, "similarity": self.similarity, "format": self.suffix}
        return {"dump": self.dump.name, "buckets": self.buckets} | limits | filters | shares | others

    def split_of(self, thread: str) -> str:
        """Return the split of all conversations of a thread."""
        place = hash_text(thread.encode()) % _FOLD / _FOLD
        valid, test = self.shares
        return "valid" if place < valid else "test" if place < valid + test else "train"


def split(plan: CorpusPlan, number: int) -> None:
    """Divide the rows of an input file among the buckets of threads."""
    counts: Counter[str] = Counter()
    with atomic_folder(plan.work / "split" / f"{number:05d}") as folder:
        writer = BucketWriter(folder, plan.buckets)
        for row in plan.dump.rows(plan.inputs[number], plan.filters.limits, counts):
            writer.add(crc32(row[0].encode()) % plan.buckets, row)
        writer.flush()
        _write_counts(folder, counts)


def build(plan: CorpusPlan, bucket: int) -> None:
    """Make the conversations of the threads in a bucket, and divide them among the buckets of texts."""
    counts: Counter[str] = Counter()
    rows = sorted(_read_bucket(plan, "split", bucket), key=itemgetter(0, 1))
    with atomic_folder(plan.work / "build" / f"{bucket:05d}") as folder:
        writer = BucketWriter(folder, plan.buckets)
        for thread, group in groupby(rows, key=itemgetter(0)):
            conversations = plan.dump.conversations(list(group), plan.filters.limits)
            for number, turns in enumerate(conversations):
                if plan.filters.keep(turns, counts):
                    digest = hash_text("\0".join(turns).encode())
                    writer.add(digest % plan.buckets, [digest, thread, number, turns])
        writer.flush()
        _write_counts(folder, counts)


def sign(plan: CorpusPlan, bucket: int) -> None:
    """Divide the conversations of a bucket of texts among buckets by each band of their signatures."""
    assert plan.similarity is not None
    items = list(distinct(_read_bucket(plan, "build", bucket), Counter()))
    hashes = band_hashes((turns for _, _, turns in items), plan.similarity)
    with atomic_folder(plan.work / "sign" / f"{bucket:05d}") as folder:
        writer = BucketWriter(folder, plan.buckets)
        for (thread, number, _), bands in zip(items, hashes, strict=True):
            for band in bands:
                writer.add(band % plan.buckets, [band, thread, number, bucket])
        writer.flush()
        _write_counts(folder, Counter())


def compare(plan: CorpusPlan, bucket: int) -> None:
    """List the conversations that share a band with an earlier conversation, ordered by thread and number."""
    with atomic_folder(plan.work / "compare" / f"{bucket:05d}") as folder:
        writer = BucketWriter(folder, plan.buckets)
        for _, group in groupby(sorted(_read_bucket(plan, "sign", bucket)), key=itemgetter(0)):
            for _, thread, number, home in islice(group, 1, None):
                writer.add(home, [thread, number])
        writer.flush()
        _write_counts(folder, Counter())


def write(plan: CorpusPlan, bucket: int) -> None:
    """Write the conversations of a bucket of texts without duplicates, each to the file of its split."""
    counts: Counter[str] = Counter()
    similar = {(thread, number) for thread, number in _read_bucket(plan, "compare", bucket)}
    sizes: Counter[tuple[str, int]] = Counter()
    items: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    for thread, number, turns in distinct(_read_bucket(plan, "build", bucket), counts):
        if (thread, number) in similar:
            counts["similar to another"] += 1
            continue
        name = plan.split_of(thread)
        counts[name] += 1
        sizes["turns", len(turns)] += 1
        for turn in turns:
            sizes["words", 1 + turn.count(" ") + turn.count("\n")] += 1
        items[name].append({"turns": turns, "meta": {"thread": thread}})
    for name, conversations in items.items():
        if conversations:
            write_shard(conversations, plan.output / f"{name}-{bucket:05d}{plan.suffix}")
    for (noun, size), count in sizes.items():
        counts[f"{noun}={_rounded(size)}"] += count
    with atomic_folder(plan.work / "write" / f"{bucket:05d}") as folder:
        _write_counts(folder, counts)


def distinct(rows: Iterable[Row], counts: Counter[str]) -> Iterator[tuple[str, int, list[str]]]:
    """Yield thread, number and turns of each distinct conversation; count the duplicates, which are left out."""
    for (_, turns), group in groupby(sorted(rows, key=itemgetter(0, 3, 1, 2)), key=itemgetter(0, 3)):
        first, *others = group
        counts["equal to another"] += len(others)
        yield first[1], first[2], turns


def make_stages(plan: CorpusPlan) -> dict[str, list[Step]]:
    """Return the steps of a plan by stage; a stage needs the output of all steps of the stages before it."""
    buckets = range(plan.buckets)
    stages: dict[str, tuple[Callable[[CorpusPlan, int], None], range]] = {
        "split": (split, range(len(plan.inputs))),
        "build": (build, buckets),
    }
    if plan.similarity is not None:
        stages |= {"sign": (sign, buckets), "compare": (compare, buckets)}
    stages["write"] = (write, buckets)
    return {
        stage: [Step(plan.work / stage / f"{number:05d}", partial(run, plan, number)) for number in numbers]
        for stage, (run, numbers) in stages.items()
    }


def read_counts(plan: CorpusPlan) -> dict[str, Counter[str]]:
    """Return the counts of all finished steps, summed by stage."""
    sums: dict[str, Counter[str]] = {}
    for stage, steps in make_stages(plan).items():
        files = [step.output / COUNTS for step in steps]
        sums[stage] = sum((Counter(orjson.loads(file.read_bytes())) for file in files if file.exists()), Counter())
    return sums


def _read_bucket(plan: CorpusPlan, stage: str, bucket: int) -> Iterator[Row]:
    """Yield the rows of a bucket that the steps of a stage wrote, in the order of the steps."""
    for folder in sorted((plan.work / stage).glob("[0-9]*")):
        file = bucket_file(folder, bucket)
        if file.exists():
            yield from read_rows(file)


def _write_counts(folder: Path, counts: Counter[str]) -> None:
    (folder / COUNTS).write_bytes(orjson.dumps(dict(counts), option=orjson.OPT_SORT_KEYS))


def _rounded(count: int) -> int:
    """Return a count, above 16 rounded down to a multiple of its power of two divided by eight."""
    step = 1 << max(0, count.bit_length() - 4)
    return count // step * step


def hash_text(text: bytes) -> int:
    """Return a 64-bit hash that is the same in every process."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
