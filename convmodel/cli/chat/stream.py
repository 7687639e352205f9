"""Streaming of a reply to the screen; Ctrl-C ends the reply instead of the program."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from convmodel.responders.protocol import Candidate, Reply, ReplyHandle

_WAIT_SECONDS = 0.3
"""Time in seconds without a piece of the reply after which `wait` is called."""

_INTERRUPTED = object()


def stream_reply(
    handle: ReplyHandle[Reply],
    show: Callable[[str], None],
    *,
    wait: Callable[[], None] = lambda: None,
    interruptible: bool,
) -> Reply:
    """Show a reply while it is generated, and return it.

    A thread reads the pieces, so that an interrupt never occurs inside the responder.

    Args:
        wait: called once if the first piece takes long.
        interruptible: whether Ctrl-C ends the reply; otherwise it raises KeyboardInterrupt as usual. If Ctrl-C comes a
            second time before the end of the reply, the part that was shown is returned.
    """
    events: SimpleQueue[object] = SimpleQueue()
    shown: list[str] = []
    cancelled = False
    with _on_interrupt(lambda: events.put(_INTERRUPTED)) if interruptible else contextlib.nullcontext():
        try:
            threading.Thread(target=_fetch, args=(handle, events), daemon=True).start()
            for event in _read_events(events, wait):
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
                    handle.cancel()
        except BaseException:
            handle.cancel()
            raise
    return Reply((Candidate("".join(shown)),), finish="cancelled")


def _fetch(handle: ReplyHandle[Reply], events: "SimpleQueue[object]") -> None:
    try:
        for piece in handle:
            events.put(piece)
        events.put(handle.result())
    except BaseException as error:
        events.put(error)


def _read_events(events: "SimpleQueue[object]", wait: Callable[[], None]) -> Iterator[object]:
    """Yield events as they arrive; wait in short intervals, since some systems handle signals only between waits."""
    can_wait = True
    while True:
        try:
            event = events.get(timeout=_WAIT_SECONDS)
        except Empty:
            if can_wait:
                wait()
        else:
            yield event
        can_wait = False


@contextlib.contextmanager
def _on_interrupt(handler: Callable[[], None]) -> Iterator[None]:
    """Call a handler on Ctrl-C inside a block; no effect outside the main thread, which alone receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
