"""Presets, default options and limits of requests."""

from collections.abc import Mapping
from typing import Any

from convmodel.serving.service import Service
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of


def test_the_servers_persona_preset_and_options_are_defaults_of_requests() -> None:
    fake = FakeResponder()
    service = Service(fake, persona=("i am old .",), preset="bold", options={"top_k": 3})
    with client_of(service) as client:
        for body in ({}, {"preset": "off"}, {"preset": "sober"}, {"persona": [], "options": {"top_k": None}}):
            assert client.post("/replies", json={"context": ["Hello!"], **body}).status_code == 200
        about = client.get("/about").json()
    received = [(list(request["persona"]), request["options"]) for request in fake.requests]
    defaults = {"temperature": 1.5, "top_k": 3}
    assert received == [
        (["i am old ."], defaults),
        (["i am old ."], {}),
        (["i am old ."], {"do_sample": False}),
        ([], defaults),
    ]
    assert about["preset"] == "bold" and about["options"]["top_k"] == 3 and about["options"]["temperature"] == 1.5


def test_defaults_above_the_limits_are_lowered() -> None:
    class Talkative(FakeResponder):
        options: Mapping[str, Any] = {**FakeResponder.options, "max_new_tokens": 128, "num_return_sequences": 3}
        presets: Mapping[str, Mapping[str, Any]] = {"long": {"max_new_tokens": 300}, "short": {"max_new_tokens": 20}}

    fake = Talkative()
    with client_of(service_of(fake, new_tokens=50, n=2)) as client:
        for preset in (None, "long", "short"):
            client.post("/replies", json={"context": ["a"], "preset": preset})
        client.post("/replies", json={"context": ["a"], "options": {"max_new_tokens": 40}})
        about = client.get("/about").json()["options"]
    used = [{**fake.options, **request["options"]} for request in fake.requests]
    assert [options["max_new_tokens"] for options in used] == [50, 50, 20, 40]
    assert {options["num_return_sequences"] for options in used} == {2}
    assert (about["max_new_tokens"], about["num_return_sequences"]) == (50, 2)
