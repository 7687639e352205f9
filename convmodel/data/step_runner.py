"""Run independent steps: in this process, in processes of this machine, as Ray tasks, or one worker's share of them."""

import gc
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

Finished = Callable[[str, int, int], None]
"""Function that is called with a stage, its number of finished steps, and its number of steps."""

IN_FLIGHT = 1_000
"""Number of steps that Ray holds at once; further ones are submitted when these end."""


@dataclass(frozen=True)
class Step:
    """One step: a function that can be pickled, and the file or folder that it writes.

    Args:
        output: the file or folder that the step writes last, atomically; the step is finished if it exists.
        run: writes the output.
    """

    output: Path
    run: Callable[[], object]

    def __call__(self) -> None:
        """Run the step, unless it is finished."""
        if self.output.exists():
            return
        was_enabled = gc.isenabled()
        gc.disable()  # rows are many lists without cycles, which the collector would visit again and again
        try:
            self.run()
        finally:
            if was_enabled:
                gc.enable()


RunSteps = Callable[[Sequence[Step]], Iterable[None]]
"""Runs steps in any order, and yields when one of them is finished."""


def run_stages(stages: dict[str, list[Step]], run_all: RunSteps, report: Finished) -> None:
    """Run the unfinished steps of all stages, one stage after another."""
    for stage, steps in stages.items():
        pending = [step for step in steps if not step.output.exists()]
        report(stage, len(steps) - len(pending), len(steps))
        for number, _ in enumerate(run_all(pending), start=len(steps) - len(pending) + 1):
            report(stage, number, len(steps))


def share_of(steps: Sequence[Step], worker: int, workers: int) -> list[Step]:
    """Return the steps of a single worker; workers are numbered from 1."""
    return list(islice(steps, worker - 1, None, workers))


def run_in_order(steps: Sequence[Step], run_all: RunSteps) -> Iterator[Step]:
    """Run the unfinished steps, and yield each step in order when it and all steps before it are finished.

    The caller may remove the output of a step that was yielded.
    """
    left = deque(steps)
    for _ in chain([None], run_all([step for step in steps if not step.output.exists()])):
        while left and left[0].output.exists():
            yield left.popleft()


def run_in_processes(steps: Sequence[Step], workers: int, *, computing: bool = False, gpus: int = 0) -> Iterator[None]:
    """Run steps in `workers` processes, or in this process if `workers` is 1. The first error ends all of them.

    Args:
        steps: the steps.
        workers: number of processes.
        computing: whether the steps compute with PyTorch. Then each process is a new interpreter, because a fork of a
            process whose threads have computed can hang; it has its share of the processors, and a GPU of its own as
            long as there are as many GPUs as workers. (With fewer GPUs, several workers use one.)
        gpus: number of GPUs that the processes may use.

    Raises:
        ValueError: when a process is killed.
    """
    if workers == 1 or len(steps) < 2:
        for step in steps:
            step()
            yield
        return
    workers = min(workers, len(steps))
    context = multiprocessing.get_context("spawn" if computing else None)
    environments = context.SimpleQueue()
    for worker in range(workers):
        environments.put(_environment(worker, workers, gpus) if computing else {})
    pool = ProcessPoolExecutor(workers, context, _prepare_worker, (environments,))
    try:
        futures = [pool.submit(step) for step in steps]
        for future in futures:
            future.result()
            yield
    except BrokenProcessPool:
        raise ValueError(
            "a worker process was killed, perhaps for lack of memory; run the command again, with fewer --workers if "
            "memory is short"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _environment(worker: int, workers: int, gpus: int) -> dict[str, str]:
    """Return the environment variables of a worker: its number of threads, and its GPU if there are GPUs."""
    variables = {}
    if "OMP_NUM_THREADS" not in os.environ:
        variables["OMP_NUM_THREADS"] = str(max(1, default_workers() // workers))
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        variables["CUDA_VISIBLE_DEVICES"] = visible.split(",")[worker % gpus]
    return variables


def _prepare_worker(environments: Any) -> None:
    """Set the environment of this worker process, and end the process when its parent ends, even if that is killed."""
    os.environ.update(environments.get())
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def run_on_ray(steps: Sequence[Step], address: str | None, *, computing: bool = False) -> Iterator[None]:
    """Run steps as tasks of a Ray cluster, or of a local cluster if there is no address.

    Args:
        computing: whether the steps compute with PyTorch. Then each has a GPU of its own if the cluster has GPUs.
    """
    import ray

    cluster: Any = ray
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    gpus = 1 if computing and cluster.cluster_resources().get("GPU") else 0
    run: Any = ray.remote(num_gpus=gpus)(_run_step)
    left = iter(steps)
    folder = os.getcwd()
    pending = [run.remote(step, folder) for step in islice(left, IN_FLIGHT)]
    while pending:
        done, pending = ray.wait(pending)
        ray.get(done)
        pending += [run.remote(step, folder) for step in islice(left, len(done))]
        yield from [None] * len(done)


def _run_step(step: Step, folder: str) -> None:
    """Run a step in the working folder of the program that started it, so that relative paths mean the same.

    This is a function of the module, so that Ray sends its name instead of its code.

    Raises:
        ValueError: when the node has no such folder.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise ValueError(
            f"{folder}: a node of the Ray cluster cannot enter this folder ({error.strerror}); start the command in "
            "a folder that all nodes share"
        ) from None
    step()


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
