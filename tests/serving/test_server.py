"""The command from outside: a real model behind a real socket, its lines, its end, and what it does not load."""

import re
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from convmodel.__main__ import main
from convmodel.cli.commands.serve import COMMAND, settings_of
from convmodel.responders.writer import Writer
from convmodel.serving.server import address_of, bind, is_loopback
from convmodel.serving.service import Service
from convmodel.serving.store import Store, keys
from tests.conftest import MakeModel
from tests.fakes import FakeResponder
from tests.serving.clients import client_of

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_model_is_served_until_a_signal(tmp_path: Path, make_model: MakeModel) -> None:
    model = make_model(n_positions=64, ending=3.0)
    model.save_pretrained(tmp_path / "small")
    arguments = ["--model", "small", "--port", "0", "--store", "talk.db", "--device", "cpu", "--new-tokens", "20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "convmodel", "serve", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"small: (http://127\.0\.0\.1:\d+)/ \(Ctrl-C ends it\)\n", line)
        assert match, line + process.stderr.read()
        with httpx.Client(base_url=match[1], timeout=30) as client:
            about = client.get("/about").json()
            assert about["model"] == "small" and about["preset"] == "balanced" and str(tmp_path) not in str(about)
            body = {"context": ["How are you?"], "seed": 7, "options": {"max_new_tokens": 8}}
            reply = client.post("/replies", json=body).json()
            assert client.post("/conversations", json={}).status_code == 201
            text = client.get("/metrics").text
            assert "convmodel_model_running 0.0" in text
        with Writer(model) as writer:
            options = {**about["presets"]["balanced"], "max_new_tokens": 8}
            assert reply["text"] == writer.start(["How are you?"], options=options, seed=7).result().text
        with openai.OpenAI(base_url=f"{match[1]}/v1", api_key="any", max_retries=0) as chat:
            done = chat.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "How are you?"}], seed=7, max_tokens=8
            )
        assert done.choices[0].message.content == reply["text"]
        assert done.usage is not None and done.usage.prompt_tokens == reply["context_tokens"]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log
    assert "POST /replies 200" in log and "How are you" not in log and "Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines, and there are no keys; make one with"),
        (["--host", "0.0.0.0", "--store", "none"], "python -m convmodel keys add NAME"),
        (["--model", "nothing"], "nothing"),
        (["--store", "mysql://x"], "unsupported database mysql"),
        (["--flag-labels", "a"], "has no effect without a check"),
    ],
)
def test_an_invalid_command_line_is_reported_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port", "0", *arguments])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and error.startswith("error: ") and message in error


def test_a_port_in_use_is_reported_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with bind("127.0.0.1", 0) as taken, pytest.raises(SystemExit):
        main(["serve", "--port", str(taken.getsockname()[1]), "--model", "nothing"])
    assert "address already in use; give another one with --port" in capsys.readouterr().err


def test_other_machines_are_served_once_there_is_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("convmodel.db") as store:
        store.write(keys.add, "anna")
    with pytest.raises(SystemExit):
        main(["serve", "--host", "0.0.0.0", "--port", "0", "--model", "nothing"])
    assert "nothing" in capsys.readouterr().err  # it went as far as to look for the model


def test_an_address_of_another_machine_is_reported() -> None:
    for host in ("no such host", "203.0.113.7", "127.0.0.300"):
        with pytest.raises(ValueError, match=r"no such address|cannot be used"):
            bind(host, 0)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e99", "1.5"])
def test_a_limit_that_is_not_a_number_is_reported_with_the_usage(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--turns", value])
    assert end.value.code == 2 and "--turns" in capsys.readouterr().err


def test_every_setting_is_an_option_with_the_help_of_the_class(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for name, help in (
        ("--deadline", "seconds in which a reply must be complete, including the time that it waits (default: 120.0)"),
        ("--requests-per-minute", "maximum number of requests per API key; None means no limit"),
        ("--max-waiting", "further requests that may wait (default: 256)"),
        ("--log-texts", "whether texts of conversations may be logged"),
    ):
        assert f"{name} " in out and help in out


def test_allowed_host_names_are_case_insensitive() -> None:
    parser = ArgumentParser()
    COMMAND.add_options(parser)
    given = ["--model", "m", "--host", "127.0.0.2", "--allowed-host", "Box.Example.org"]
    settings = settings_of(parser.parse_args(given))
    with client_of(Service(FakeResponder(), settings=settings)) as client:
        for host, status in (("box.example.org", 200), ("BOX.example.org:80", 200), ("127.0.0.2", 200), ("a.org", 403)):
            assert client.get("/about", headers={"Host": host}).status_code == status


def test_loopback_addresses_are_recognized() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "example.org", ""]))
    with bind("0.0.0.0", 0) as bound:
        assert address_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}/"
    if socket.has_ipv6:
        with bind("::1", 0) as bound:
            assert address_of(bound) == f"http://[::1]:{bound.getsockname()[1]}/"


def test_the_server_modules_import_no_heavy_libraries() -> None:
    program = (
        "import sys, convmodel.serving.app, convmodel.serving.server, convmodel.serving.conversations.turns; "
        "print(*sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done: Any = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
