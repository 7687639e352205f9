"""docs/serving.md says what the server does: its examples run, its options exist."""

import io
import json
import re
import shlex
from argparse import ArgumentParser
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import httpx2 as httpx

from convmodel.cli.commands import serve
from convmodel.serving.openai.schemas import ChatRequest
from tests.serving.clients import served
from tests.serving.everything import everything

DOCS = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_examples_run(tmp_path: Path) -> None:
    service = everything(tmp_path)
    service.replies.responder.presets = {"balanced": {}}  # type: ignore[union-attr, misc]
    examples = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    commands = re.findall(r"^curl .*?(?<!\\)$", DOCS, re.DOTALL | re.MULTILINE)
    with served(service) as address:
        for example in examples:
            with redirect_stdout(io.StringIO()) as said:
                exec(example.replace("http://127.0.0.1:8000", address), {})
            assert said.getvalue().strip(), example
        answers = [_curl(command, address) for command in commands if "localhost" in command]
    assert len(answers) == 11 and len(examples) == 5 and all(answer.status_code == 200 for answer in answers)
    assert answers[9].text.startswith("event: piece\ndata: ")


def _curl(command: str, address: str) -> Any:
    """What a command line of curl asks for."""
    words = shlex.split(command.replace("\\\n", " "))
    [url] = [word for word in words if word.startswith("localhost:8000")]
    body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
    return httpx.request("POST" if body else "GET", url.replace("localhost:8000", address), json=body)


def test_every_option_in_the_docs_exists() -> None:
    parser = ArgumentParser()
    serve.COMMAND.add_options(parser)
    there = {name for action in parser._actions for name in action.option_strings}
    ours = re.sub(r"^python -m convmodel\.trainer .*?(?<!\\)$", "", DOCS, flags=re.DOTALL | re.MULTILINE)
    ours = ours.replace("`index --lexical`", "")
    assert set(re.findall(r"--\w[\w-]*", ours)) <= there


def test_every_supported_field_is_in_the_docs() -> None:
    table = DOCS[DOCS.index("| field |") : DOCS.index("Unsupported fields are accepted")]
    own = set(ChatRequest.model_fields) - set(ChatRequest.__mro__[1].model_fields)  # type: ignore[attr-defined]
    assert own == {name.partition(".")[0] for name in re.findall(r"`([\w.]+)`", table)} & own
