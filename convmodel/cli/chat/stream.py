"""A reply that is being made in, its pieces and the finished Reply out; Ctrl-C ends it, and not the program."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from convmodel.responders.protocol import Candidate, Reply, ReplyHandle

_PATIENCE = 0.3
"""Seconds without a piece after which a person is told that something goes on."""

_INTERRUPTED = object()


def follow(
    replying: ReplyHandle[Reply], show: Callable[[str], None], *, wait: Callable[[], None] = lambda: None, interruptible: bool
) -> Reply:
    """Shows a reply while it is being made.

    The pieces are fetched in a thread of their own, so that an interrupt never strikes inside of a responder.

    Args:
        show: is given each piece.
        wait: is called once if the first piece is long in coming.
        interruptible: whether Ctrl-C ends the reply; otherwise it is a KeyboardInterrupt as everywhere.

    Returns:
        The reply. What was shown of it, when Ctrl-C came a second time before it had ended.
    """
    events: SimpleQueue[object] = SimpleQueue()
    shown: list[str] = []
    cancelled = False
    with _on_interrupt(lambda: events.put(_INTERRUPTED)) if interruptible else contextlib.nullcontext():
        try:
            threading.Thread(target=_fetch, args=(replying, events), daemon=True).start()
            for event in _until_the_end(events, wait):
                if isinstance(event, str):
                    shown.append(event)
                    show(event)
                elif isinstance(event, Reply):
                    return event
                elif isinstance(event, BaseException):
                    raise event
                elif cancelled:
                    break
                else:
                    cancelled = True
                    replying.cancel()
        except BaseException:
            replying.cancel()
            raise
    return Reply((Candidate("".join(shown)),), finish="cancelled")


def _fetch(replying: ReplyHandle[Reply], events: "SimpleQueue[object]") -> None:
    try:
        for piece in replying:
            events.put(piece)
        events.put(replying.result())
    except BaseException as error:
        events.put(error)


def _until_the_end(events: "SimpleQueue[object]", wait: Callable[[], None]) -> Iterator[object]:
    """Events as they come. Waits in short naps, for on some systems a signal is only noticed between them."""
    seen = told = False
    while True:
        try:
            event = events.get(timeout=_PATIENCE)
        except Empty:
            if not seen and not told:
                told = True
                wait()
            continue
        seen = True
        yield event


@contextlib.contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Lets Ctrl-C do something else inside a block; signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
