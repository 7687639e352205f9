"""Names of models on the Hugging Face Hub, and a check that the Hub can be reached."""

import functools
import logging
import re
import time
from pathlib import Path

from huggingface_hub import constants, get_session, is_offline_mode, try_to_load_from_cache

logger = logging.getLogger(__name__)

HUB_NAME = re.compile(
    r"\w[\w.-]*/\w[\w.-]*|gpt2(-medium|-large|-xl)?|ctrl|distilgpt2|openai-gpt|transfo-xl-wt103"
    r"|(albert|bert|camembert|distilbert|distilroberta|roberta|t5|xlm|xlnet)-[\w.-]+",
    re.ASCII,
)
"""Names of models on the Hub: OWNER/NAME, or one of the old names without an owner."""

TIMEOUT = 10.0
"""Seconds to wait for an answer of the Hub."""


def may_be_on_hub(name: str) -> bool:
    """Return whether the Hub may have a model of this name: OWNER/NAME, or one of the few names without an owner."""
    is_name = HUB_NAME.fullmatch(name) is not None and "--" not in name and ".." not in name
    return is_name and not Path(name).exists()


def find_connection_error(name: str) -> str | None:
    """Return the reason why the Hub cannot be reached; None if it can, or if it need not be asked for the model.

    It need not be asked if the model is in the cache or in offline mode. The connection is tested at most once a
    minute, because huggingface_hub itself tries six times for every file of a model.
    """
    if is_offline_mode() or _is_cached(name):
        return None
    _log_query(name)
    return _connection_error(constants.ENDPOINT, int(time.monotonic() // 60))


def _is_cached(name: str) -> bool:
    return any(isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "selector.json"))


@functools.cache
def _log_query(name: str) -> None:
    """Log, once for each name, that the Hub is queried, which can take a while."""
    logger.warning("%s: no such folder here; asking the Hugging Face Hub", name)


@functools.lru_cache(maxsize=1)
def _connection_error(address: str, minute: int) -> str | None:
    """Request an address; return the error as a text, or None for any answer.

    Results are cached. `minute` is the current minute, so that a result is reused for at most a minute.
    """
    try:
        get_session().head(address, timeout=TIMEOUT)
    except Exception as error:  # its class depends on the version of huggingface_hub: httpx or httpx2
        return f"{address}: {' '.join(str(error).split())[:200]}"
    return None
