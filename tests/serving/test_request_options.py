"""Presets, default options and limits of requests."""

from collections.abc import Mapping
from typing import Any

from convmodel.serving.service import Service
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of


def test_the_persona_the_preset_and_the_options_of_the_server_count_where_a_request_says_nothing() -> None:
    fake = FakeResponder()
    service = Service(fake, persona=("i am old .",), preset="bold", options={"top_k": 3})
    with client_of(service) as client:
        for body in ({}, {"preset": "off"}, {"preset": "sober"}, {"persona": [], "options": {"top_k": None}}):
            assert client.post("/replies", json={"context": ["Hello!"], **body}).status_code == 200
        about = client.get("/about").json()
    asked = [(list(each["persona"]), each["options"]) for each in fake.asked]
    usual = {"temperature": 1.5, "top_k": 3}
    assert asked == [(["i am old ."], usual), (["i am old ."], {}), (["i am old ."], {"do_sample": False}), ([], usual)]
    assert about["preset"] == "bold" and about["options"]["top_k"] == 3 and about["options"]["temperature"] == 1.5


def test_what_is_usual_is_no_more_than_the_server_allows() -> None:
    class Talkative(FakeResponder):
        options: Mapping[str, Any] = {**FakeResponder.options, "max_new_tokens": 128, "num_return_sequences": 3}
        presets: Mapping[str, Mapping[str, Any]] = {"long": {"max_new_tokens": 300}, "short": {"max_new_tokens": 20}}

    fake = Talkative()
    with client_of(service_of(fake, new_tokens=50, n=2)) as client:
        for preset in (None, "long", "short"):
            client.post("/replies", json={"context": ["a"], "preset": preset})
        client.post("/replies", json={"context": ["a"], "options": {"max_new_tokens": 40}})
        about = client.get("/about").json()["options"]
    used = [{**fake.options, **asked["options"]} for asked in fake.asked]
    assert [each["max_new_tokens"] for each in used] == [50, 50, 20, 40]
    assert {each["num_return_sequences"] for each in used} == {2}
    assert (about["max_new_tokens"], about["num_return_sequences"]) == (50, 2)
