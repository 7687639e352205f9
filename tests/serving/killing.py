"""Clients of a server that is killed again and again, which check that no acknowledged turn is lost or doubled.

Run it for longer with `python -m tests.serving.killing ROUNDS [SEED]`.
"""

import contextlib
import http.client
import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving.server import Process

TALKERS = 5
SHARERS = 3

GONE = (OSError, http.client.HTTPException, ValueError)
"""Errors that a client of a killed server gets: no connection, half an answer, half a line."""


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request; return status and JSON."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        headers = {"Content-Type": "application/json", "Host": "localhost"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None


@dataclass
class Talker:
    """A client with a conversation of its own, and the turns that were acknowledged.

    Args:
        name: part of each of its texts.
        source: source of its random decisions.
    """

    name: str
    source: random.Random
    id: str = ""
    known: list[str] = field(default_factory=list)
    unsure: "Unsure | None" = None
    count: int = 0
    acknowledged: int = 0

    def talk(self, port: int, until: threading.Event) -> None:
        """Talk until the server is gone."""
        with contextlib.suppress(*GONE):
            while not until.is_set():
                if not self.id:
                    self.id = ask(port, "POST", "/conversations", {})[1]["id"]
                self._act(port)

    def _act(self, port: int) -> None:
        if len(self.known) % 2:
            self._request(port, "reply", {})
        elif self.known and self.source.random() < 0.15:
            self._request(port, "retry", {})
        elif self.known and self.source.random() < 0.08:
            self._undo(port)
        else:
            self.count += 1
            text = f"{self.name} says {self.count} " + "and more " * self.source.randrange(60)
            self._request(port, "turns", {"text": text.strip()})

    def _request(self, port: int, what: str, body: dict[str, Any]) -> None:
        key = f"{self.name}-{what}-{self.source.random()}" if self.source.random() < 0.5 else None
        body = {**body, "stream": self.source.random() < 0.5}
        self.unsure = Unsure(what, body, key)
        self.send(port)

    def send(self, port: int) -> None:
        """Send the uncertain request, and record what is acknowledged."""
        assert self.unsure is not None
        for name, value in answers(port, f"/conversations/{self.id}/{self.unsure.what}", self.unsure):
            if name == "said":
                self._said(value["turn"])
            elif name == "reply":
                if "said" in value:
                    self._said(value["said"])
                self.acknowledged += 1
                kept = self.known[: value["turn"]["number"] - 1]
                assert len(kept) == value["turn"]["number"] - 1, (self.known, value)
                self.known = [*kept, value["turn"]["text"]]
                self.unsure = None
            else:
                raise AssertionError(f"{self.name}: {self.unsure}: {name} {value}")

    def _said(self, turn: dict[str, Any]) -> None:
        assert self.unsure is not None and turn["text"] == self.unsure.body["text"]
        if len(self.known) < turn["number"]:
            self.acknowledged += 1
            self.known.append(turn["text"])
        assert self.known[turn["number"] - 1 :] == [turn["text"]], (self.known, turn)

    def _undo(self, port: int) -> None:
        self.unsure = Unsure("undo", {}, None)
        status, value = ask(port, "POST", f"/conversations/{self.id}/undo")
        assert status == 200, value
        self.acknowledged += 1
        self.known = self.known[:-2]
        self.unsure = None

    def check(self, port: int) -> None:
        """Compare stored turns with acknowledged ones; the uncertain request may have been processed or not.

        Raises:
            AssertionError: something is lost, doubled or incomplete.
        """
        if not self.id:
            return
        turns = turns_of(port, self.id)
        stored = [turn["text"] for turn in turns]
        unsure = self.unsure
        what = "" if unsure is None else unsure.what
        said = [unsure.body["text"]] if unsure is not None and what == "turns" else []
        if what == "undo":
            assert stored in (self.known, self.known[:-2]), (stored, self.known)
        elif what == "retry":
            assert stored[:-1] == self.known[:-1] and len(stored) == len(self.known), (stored, self.known)
        else:
            assert stored[: len(self.known)] == self.known, (stored, self.known)
            rest = stored[len(self.known) :]
            new = said if said and self.known[-1:] != said else []
            assert rest[: len(new)] == new[: len(rest)], (rest, new)
            assert len(rest) <= len(new) + (1 if what else 0), (rest, self.unsure)
        self.known, self.unsure = self._settle(port, stored)

    def _settle(self, port: int, stored: list[str]) -> "tuple[list[str], Unsure | None]":
        """Repeat an uncertain request that has a key: it must have been processed once in the end."""
        unsure = self.unsure
        if unsure is None or unsure.key is None or unsure.what != "turns":
            return stored, None
        text = unsure.body["text"]
        before = stored[: stored.index(text)] if text in stored else stored
        self.known = list(before)
        self.send(port)
        again = [turn["text"] for turn in turns_of(port, self.id)]
        assert again == self.known and len(again) == len(before) + 2, (again, before)
        assert again.count(text) == 1
        return again, None


@dataclass(frozen=True)
class Unsure:
    """A request of which it is uncertain whether it was processed."""

    what: str
    body: dict[str, Any]
    key: str | None


@dataclass
class Sharer:
    """One of several clients in one conversation, with the turns that were acknowledged, by number."""

    name: str
    id: str
    known: dict[int, str] = field(default_factory=dict)
    count: int = 0
    conflicts: int = 0

    def talk(self, port: int, until: threading.Event) -> None:
        """Talk until the server is gone."""
        with contextlib.suppress(*GONE):
            while not until.is_set():
                self.count += 1
                request = Unsure(
                    "turns", {"text": f"{self.name} says {self.count}", "stream": self.count % 2 == 0}, None
                )
                for name, value in answers(port, f"/conversations/{self.id}/turns", request):
                    if name == "error":
                        assert value["error"]["type"] == "conflict_error", value
                        self.conflicts += 1
                        if value["error"]["code"] == "waiting":  # a killed server left it so
                            list(answers(port, f"/conversations/{self.id}/reply", Unsure("reply", {}, None)))
                    for turn in (value.get("said"), value.get("turn")):
                        if turn is not None:
                            assert self.known.setdefault(turn["number"], turn["text"]) == turn["text"]

    def check(self, port: int) -> None:
        """Check that every acknowledged turn is stored under its number."""
        stored = {turn["number"]: turn["text"] for turn in turns_of(port, self.id)}
        for number, text in self.known.items():
            assert stored.get(number) == text, (self.name, number, text, stored.get(number))


def answers(port: int, path: str, request: Unsure) -> Iterator[tuple[str, Any]]:
    """Yield the events `said`, `reply` and `error` that arrive complete."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        headers = {"Content-Type": "application/json", "Host": "localhost"}
        headers |= {"Idempotency-Key": request.key} if request.key else {}
        connection.request("POST", path, json.dumps(request.body), headers)
        response = connection.getresponse()
        if not response.getheader("content-type", "").startswith("text/event-stream"):
            value = json.loads(response.read())
            yield ("reply" if response.status == 200 else "error"), value
            return
        name = ""
        while line := response.readline():
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: ") and line.endswith(b"\n") and name in ("said", "reply", "error"):
                yield name, json.loads(line[6:])


def turns_of(port: int, id: str) -> list[dict[str, Any]]:
    """Return the turns of a conversation, after checking that each is complete."""
    status, value = ask(port, "GET", f"/conversations/{id}")
    assert status == 200, value
    turns: list[dict[str, Any]] = value["turns"]
    for number, turn in enumerate(turns, 1):
        assert turn["number"] == number and turn["speaker"] == ("user" if number % 2 else "model"), turns
        if turn["speaker"] == "model":
            assert turn["text"] == turn["reply"]["candidates"][turn["chosen"]]["text"], turn
    assert value["waiting"] == (len(turns) % 2 == 1)
    user = [turn["text"] for turn in turns[::2]]
    assert not [text for text, count in Counter(user).items() if count > 1], user
    return turns


@dataclass
class Report:
    """The counts of some rounds."""

    kills: int = 0
    acknowledged: int = 0
    shared: int = 0
    conflicts: int = 0
    unsure: int = 0


def kill_again_and_again(
    address: str, *, rounds: int, seed: int, progress: Callable[[Report], None] | None = None
) -> Report:
    """Kill a server under load a number of times, and check its store each time.

    Args:
        address: address of the store.
        rounds: number of kills.
        seed: seed of the clients' actions and of the times of the kills.
        progress: called after each 20 kills.

    Raises:
        AssertionError: an acknowledged turn is lost, or a turn is doubled or incomplete.
    """
    source, report = random.Random(seed), Report()
    talkers = [Talker(f"talker {n}", random.Random(source.random())) for n in range(TALKERS)]
    sharers: list[Sharer] = []
    while True:
        if report.kills and source.random() < 0.15:  # while it starts
            starting = Process(address, wait=False)
            time.sleep(source.uniform(0.3, 1.2))
            starting.kill()
        server = Process(address, seconds=source.choice([0.0, 0.001, 0.01]))
        try:
            clients: list[Talker | Sharer] = [*talkers, *sharers]
            for client in clients:
                client.check(server.port)
            if report.kills == rounds:
                break
            if not sharers:
                id = ask(server.port, "POST", "/conversations", {})[1]["id"]
                sharers = [Sharer(f"sharer {n}", id) for n in range(SHARERS)]
            _load_until_killed(server, [*talkers, *sharers], seconds=source.uniform(0.02, 0.8))
        finally:
            server.kill()
        report.kills += 1
        report.unsure += sum(talker.unsure is not None for talker in talkers)
        _check_file(address)
        if progress is not None and report.kills % 20 == 0:
            progress(report)
    report.acknowledged = sum(talker.acknowledged for talker in talkers)
    report.shared = len({number for sharer in sharers for number in sharer.known})
    report.conflicts = sum(sharer.conflicts for sharer in sharers)
    return report


def _load_until_killed(server: Process, clients: "list[Talker | Sharer]", *, seconds: float) -> None:
    wrong: list[BaseException] = []
    over = threading.Event()

    def talk(client: Talker | Sharer) -> None:
        try:
            client.talk(server.port, over)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=talk, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    end = time.monotonic() + 10
    while not wrong and not any(client.known for client in clients) and time.monotonic() < end:
        time.sleep(0.01)  # a kill before the first turn shows nothing
    server.process.send_signal(signal.SIGKILL)
    over.set()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def _check_file(address: str) -> None:
    if address.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        many, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
        done = kill_again_and_again(f"sqlite:///{Path(folder) / 'store.db'}", rounds=many, seed=seed, progress=print)
        print(done, f"{time.monotonic() - began:.0f} s")
