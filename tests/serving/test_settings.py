"""Defaults of a server's settings."""

import pytest

from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING
from convmodel.serving.settings import LOOPBACK, Settings, parse_host, parse_origin


def test_as_many_replies_are_open_as_run_and_wait() -> None:
    assert Settings(max_running=2, max_waiting=3).max_open == 5
    assert Settings().max_open == MAX_RUNNING + MAX_WAITING


def test_a_default_server_answers_only_names_of_this_machine_and_logs_no_texts() -> None:
    settings = Settings()
    assert settings.hosts == LOOPBACK and settings.origins == () and not settings.log_texts
    with pytest.raises(AttributeError):
        settings.log_texts = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Box.Example.org", "box.example.org"),
        ("box:8000", "box"),
        ("http://box.example.org:8000/", "box.example.org"),
        ("[::1]:8000", "::1"),
        ("fe80::1", "fe80::1"),
        ("192.168.0.7:80", "192.168.0.7"),
    ],
)
def test_a_host_is_the_name_without_scheme_and_port(name: str, host: str) -> None:
    assert parse_host(name) == host


@pytest.mark.parametrize("name", ["", " ", "*", "*.example.org", "a b", "http://", "[", "a,b"])
def test_a_text_without_a_host_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="it is not a host name; give one such as"):
        parse_host(name)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://Example.org/", "https://example.org"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_as_browsers_send_it(given: str, origin: str) -> None:
    assert parse_origin(given) == origin


@pytest.mark.parametrize(
    "given",
    ["example.org", "localhost:3000", "https://", "https://a.org/page", "https://*.a.org", "https://a:b", "http://["],
)
def test_an_origin_without_a_scheme_or_with_a_path_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"--cors .*such as https://example\.org:8443"):
        parse_origin(given)
