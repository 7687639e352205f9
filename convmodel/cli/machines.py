"""Options of commands whose work several processes or machines can share."""

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from functools import partial

from convmodel.cli.command import positive_int
from convmodel.data.step_runner import RunSteps, default_workers, run_in_processes, run_on_ray
from convmodel.errors import require_extra


def add_machine_options(parser: ArgumentParser, *, default: str) -> _ArgumentGroup:
    """Add the options `--workers` and `--ray` in a group of their own.

    Args:
        default: the default number of processes, in words.

    Returns:
        The group.
    """
    group = parser.add_argument_group("machines")
    group.add_argument("--workers", type=positive_int, metavar="N", help=f"processes (default: {default})")
    text = "run on a Ray cluster, by default a cluster started on this machine"
    group.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=text)
    return group


def check_machines(options: Namespace) -> None:
    """Raise ValueError for options that exclude each other."""
    if options.ray is not None and options.workers is not None:
        raise ValueError("--ray runs as many workers as the cluster has room for; leave --workers out")


def shares_work(options: Namespace) -> bool:
    """Return whether the options ask for other processes than this one."""
    return options.workers is not None or options.ray is not None


def choose_runner(options: Namespace, *, computing: bool) -> RunSteps:
    """Return the function that runs steps as the options say; see `run_in_processes` for `computing`.

    Raises:
        ModuleNotFoundError: when Ray is asked for and is not installed; the message says how to install it.
    """
    if options.ray is None:
        workers = options.workers or default_workers()
        return partial(run_in_processes, workers=workers, computing=computing, gpus=_count_gpus() if computing else 0)
    with require_extra("cluster", {"ray"}, needing="--ray needs"):
        import ray  # noqa: F401
    return partial(run_on_ray, address=options.ray or None, computing=computing)


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()
