"""The description of the API against what the server does, by schemathesis, with every check that it has."""

import contextlib
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from convmodel.serving.app import create_app
from tests.serving.everything import everything

EXAMPLES = 4
"""For each address; `schemathesis run ADDRESS/openapi.json --checks all` tries more."""


@pytest.fixture  # for one test: schemathesis ends an application with the test that requested it
def api() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        service = everything(Path(folder), hosts=())
        project = ProjectConfig(generation=GenerationConfig(allow_x00=False))  # which no text of ours may hold
        config = SchemathesisConfig(projects=ProjectsConfig(default=project))
        yield schemathesis.openapi.from_asgi("/openapi.json", create_app(service), config=config)
        service.close()


def match_speakers(body: dict[str, Any]) -> None:
    """Give each turn a speaker with a name of one line, and let another one reply.

    No JSON schema says that two lists have one length, or that the one who replies did not speak last.
    """
    names = [name.split()[0] for name in body.pop("speakers", None) or ()]
    speaker = body.pop("speaker", None)
    if names:
        body["speakers"] = list(islice(cycle(names), len(body["context"])))
        proposals = [*(speaker or "").split()[:1], "Ida", "Tom"]
        body["speaker"] = next(name for name in proposals if name != body["speakers"][-1])


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_server_conforms_to_its_openapi_description(mode: GenerationMode, api: Any) -> None:
    tried: set[str] = set()
    for operation_result in api.get_all_operations():
        operation = operation_result.ok()

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            if (
                mode is GenerationMode.POSITIVE
                and isinstance(case.body, dict)
                and case.operation.label == "POST /replies"
            ):
                match_speakers(case.body)
            case.call_and_validate()
            tried.add(case.operation.label)

        with contextlib.suppress(Unsatisfiable):  # nothing can be wrong of an address without a body
            check()
    assert {"POST /replies", "POST /v1/chat/completions", "POST /documents", "POST /candidates"} <= tried
    assert {f"POST /v1/{name}" for name in ("completions", "embeddings", "rerank", "messages")} <= tried
    assert mode is GenerationMode.NEGATIVE or "GET /about" in tried
