"""Run the steps of a corpus: in processes of this machine, as Ray tasks, or the share of one of several workers."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

from convmodel.data.corpus.steps import Step

Finished = Callable[[str, int, int], None]
"""Function that is called with a stage, its number of finished steps, and its number of steps."""


def run_stages(
    stages: dict[str, list[Step]], run_all: Callable[[Sequence[Step]], Iterable[None]], report: Finished
) -> None:
    """Run the unfinished steps of all stages, one stage after another.

    Args:
        run_all: runs steps in any order, and yields when one of them is finished.
    """
    for stage, steps in stages.items():
        pending = [step for step in steps if not step.output.exists()]
        report(stage, len(steps) - len(pending), len(steps))
        for number, _ in enumerate(run_all(pending), start=len(steps) - len(pending) + 1):
            report(stage, number, len(steps))


def share_of(steps: Sequence[Step], worker: int, workers: int) -> list[Step]:
    """Return the steps of a single worker; workers are numbered from 1."""
    return list(islice(steps, worker - 1, None, workers))


def run_in_processes(steps: Sequence[Step], workers: int) -> Iterator[None]:
    """Run steps in `workers` processes, or in this process if `workers` is 1. The first error ends all of them."""
    if workers == 1 or len(steps) < 2:
        for step in steps:
            step()
            yield
        return
    with ProcessPoolExecutor(min(workers, len(steps))) as pool:
        futures = [pool.submit(step) for step in steps]
        try:
            for future in futures:
                future.result()
                yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_on_ray(steps: Sequence[Step], address: str | None) -> Iterator[None]:
    """Run steps as tasks of a Ray cluster, or of a local cluster if there is no address."""
    import ray

    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    run: Any = ray.remote(_run_step)
    pending = [run.remote(step) for step in steps]
    while pending:
        done, pending = ray.wait(pending)
        ray.get(done)
        yield from [None] * len(done)


def _run_step(step: Step) -> None:
    """Run a step. This is a function of the module, so that Ray sends its name instead of its code."""
    step()


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
