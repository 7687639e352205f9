"""A process that imports the trainer once, and forks for each run: `python -m tests.training.forks`.

A line of its input is a JSON object: `arguments` of the trainer, its working `folder`, the file of its `output`, and
`environments`, which has the variables of each process of the run. It answers with the list of their statuses.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

SECONDS = 300
"""Maximum time of a run."""


class Forks:
    """The process that forks, seen from the tests; it starts with the first run.

    Args:
        environment: returns the variables of its environment.
    """

    def __init__(self, environment: Callable[[], Mapping[str, str]]) -> None:
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, **job: Any) -> list[int]:
        """Run the trainer; return the status of each process: 0, or minus the number of the signal that killed it."""
        if self._process is None:
            command = [sys.executable, "-m", __name__]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._process = subprocess.Popen(command, env=self._environment(), **pipes)
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        statuses: list[int] = json.loads(self._process.stdout.readline())
        return statuses

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with self._process:
                self._process.terminate()


def _fork(job: dict[str, Any], environment: dict[str, str]) -> int:
    return os.fork() or _train(job, environment)


def _train(job: dict[str, Any], environment: dict[str, str]) -> NoReturn:
    from pytorch_lightning.utilities import rank_zero_only

    from convmodel.trainer import main

    status = 1
    try:
        signal.alarm(SECONDS)
        os.environ.clear()
        os.environ.update(environment)
        # Decided at the import, in a process of its own.
        cast(Any, rank_zero_only).rank = int(environment.get("LOCAL_RANK", 0))
        os.chdir(job["folder"])
        output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.argv[1:] = job["arguments"]
        main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve() -> None:
    import transformers.models.gpt2.modeling_gpt2  # noqa: F401  # imported by the first run otherwise

    import convmodel.training.cli
    import convmodel.training.conversation_module
    import convmodel.training.datamodules.conversation  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        processes = [_fork(job, environment) for environment in job["environments"]]
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(id, 0)[1]) for id in processes]), flush=True)


if __name__ == "__main__":
    _serve()
