"""`corpus`: make training data of public dumps of Reddit and OpenSubtitles."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from convmodel.cli.command import Command, number_parser, positive_int
from convmodel.cli.machines import add_machine_options, check_machines, choose_runner
from convmodel.data.options import name_flag
from convmodel.data.step_runner import run_stages, share_of
from convmodel.errors import require_extra

EXTRA = {"orjson", "zstandard", "py3langid", "datasketch", "pyarrow", "tqdm", "matplotlib", "jinja2"}
"""Libraries of the extra."""

STAGES = ("split", "build", "sign", "compare", "write")
SUFFIXES = (".jsonl.zst", ".jsonl.gz", ".jsonl", ".parquet")
_share = number_parser(float, lambda share: 0 <= share < 0.5, "a share from 0 to below 0.5")


def _worker(text: str) -> tuple[int, int]:
    """Parse K/N; raise ValueError for anything else."""
    first, _, last = text.partition("/")
    worker, workers = int(first), int(last)
    if not 1 <= worker <= workers:
        raise ValueError(text)
    return worker, workers


def _add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    text = "reddit: comments as JSON Lines; opensubtitles: XML files or a text file of OPUS. Plain, .zst, .gz, .xz"
    add("dump", choices=("reddit", "opensubtitles"), help=text)
    add("--input", nargs="+", required=True, metavar="FILE", help="files, folders, or globs in quotes")
    add("--output", required=True, metavar="DIR", help="a new folder, or one whose corpus was interrupted")
    add("--format", choices=SUFFIXES, default=".jsonl.zst", help="of the files (default: %(default)s)")
    add("--valid", type=_share, default=0.005, help="share of the threads for validation (default: %(default)s)")
    add("--test", type=_share, default=0.005, help="share of the threads for tests (default: %(default)s)")
    group = parser.add_argument_group("filters")
    add = group.add_argument
    for name, default, noun in (("min_words", 1, "turn"), ("max_words", 128, "turn")):
        add(name_flag(name), type=positive_int, default=default, help=f"words of a {noun} (default: %(default)s)")
    add("--min-turns", type=positive_int, default=2, help="turns of a conversation (default: %(default)s)")
    add("--max-turns", type=positive_int, default=20, help="longer conversations are divided (default: %(default)s)")
    add("--language", metavar="CODE", help="en, de, ja, ...: leave out conversations in other languages")
    text = "smallest probability of the language (default: %(default)s)"
    add("--certainty", type=_probability, default=0.8, help=text)
    add("--words", metavar="FILE", help="leave out conversations with a word of this file, one on each line")
    text = "leave out near-duplicates: conversations whose sets of three words are as similar as this, such as 0.8"
    add("--similarity", type=_probability, metavar="SHARE", help=text)
    add = add_machine_options(parser, default="one for each processor").add_argument
    text = "parts of the data; each must fit into the memory of a worker (default: by the size of the input)"
    add("--buckets", type=positive_int, metavar="N", help=text)
    add("--stage", choices=STAGES, help="run only this stage; the one before it must be finished")
    text = "with --stage, run the share of worker K of N, as in an array of SLURM jobs"
    add("--step", type=_worker, metavar="K/N", help=text)


_probability = number_parser(float, lambda share: 0 < share < 1, "a number between 0 and 1")


def _run(options: Namespace) -> int:
    if options.step is not None and options.stage is None:
        raise ValueError(f"--step needs --stage; allowed are {', '.join(STAGES)}")
    check_machines(options)
    if options.ray is not None and options.step is not None:
        raise ValueError("--ray runs all steps on the cluster; leave --step out")
    with require_extra("corpus", EXTRA, needing="a corpus needs"):
        from convmodel.data.corpus.folder import open_folder
        from convmodel.data.corpus.steps import make_stages, read_counts

        plan = open_folder(options.output, options.input, _plan_options(options))
        stages = make_stages(plan)
        _run_steps(options, stages)
        if all(step.output.exists() for steps in stages.values() for step in steps):
            from convmodel.data.corpus.folder import finish
            from convmodel.reports.corpus import describe, make_report, write_page

            report = make_report(plan.dump.item, read_counts(plan), plan.describe())
            write_page(report, plan.output / "corpus.html")
            finish(plan, report)
            print(*describe(report), f"{plan.output}: written", sep="\n")
    return 0


def _plan_options(options: Namespace) -> dict[str, Any]:
    """Return the options that decide what is written."""
    words = [] if options.words is None else _read_words(options.words)
    names = ("dump", "format", "valid", "test", "min_words", "max_words", "min_turns", "max_turns")
    others = ("language", "certainty", "similarity", "buckets")
    return {name: getattr(options, name) for name in (*names, *others)} | {"words": words}


def _read_words(path: str) -> list[str]:
    """Return the distinct words of a file, one on each line."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    words = sorted({line.strip().lower() for line in lines} - {""})
    if not words:
        raise ValueError(f"{path}: has no words; write one on each line")
    return words


def _run_steps(options: Namespace, stages: dict[str, list[Any]]) -> None:
    chosen = stages
    if options.stage is not None:
        if options.stage not in stages:
            raise ValueError(f"--stage {options.stage}: needs --similarity; allowed are {', '.join(stages)}")
        _check_finished(stages, options.stage)
        chosen = {options.stage: stages[options.stage]}
    if options.step is not None:
        chosen = {name: share_of(steps, *options.step) for name, steps in chosen.items()}
    run_all = choose_runner(options, computing=False)
    with _Progress() as progress:
        run_stages(chosen, run_all, progress.show)


def _check_finished(stages: dict[str, list[Any]], stage: str) -> None:
    """Raise ValueError unless all steps of the stages before `stage` are finished."""
    for name, steps in stages.items():
        if name == stage:
            return
        left = sum(not step.output.exists() for step in steps)
        if left:
            raise ValueError(
                f"--stage {stage}: {left} of {len(steps)} steps of {name} are not finished; run them first"
            )


class _Progress:
    """Progress bars of the stages, shown on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        """Show the number of finished steps of a stage."""
        from tqdm import tqdm

        if stage != self._stage:
            self.__exit__()
            self._stage = stage
            self._bar = tqdm(desc=stage, total=total, initial=done, unit=" steps", disable=None, file=sys.stderr)
        self._bar.update(done - self._bar.n)


COMMAND = Command(
    name="corpus",
    help="make training data of dumps of Reddit or OpenSubtitles",
    description="Rebuilds the conversations of a dump, filters them, removes duplicates, and divides them into train, "
    "valid and test. An interrupted run continues with the same command. See docs/cluster.md.",
    add_options=_add_options,
    run=_run,
    examples=["reddit --input 'RC_*.zst' --output corpus --language en"],
)
