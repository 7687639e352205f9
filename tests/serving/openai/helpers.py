"""Messages, and a responder that knows penalties."""

from collections.abc import Mapping
from typing import Any

from tests.fakes import FakeResponder

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]


CHAT = "/v1/chat/completions"


class PenalisedResponder(FakeResponder):
    """A fake that knows all that OpenAI's fields come to."""

    options: Mapping[str, Any] = {
        **FakeResponder.options,
        **dict.fromkeys(("stop_strings", "max_new_tokens", "frequency_penalty", "presence_penalty", "top_p")),
    }
