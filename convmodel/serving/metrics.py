"""What happens in, numbers in Prometheus' text format out."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from convmodel.responders.protocol import Reply, ReportsLoad
from convmodel.serving.safety.policy import Policy

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SPEEDS = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Metrics:
    """Counts what happens; from any thread. Each server has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests that were answered.", "method", "route", "status")
        self._durations = self._histogram(
            "request_seconds", "From a request to the end of its answer.", SECONDS, "route"
        )
        self._refused = self._counter("refused", "Requests that were refused, by reason.", "reason")
        self._replies = self._counter("replies", "Replies that were made.", "source", "finish")
        self._tokens = self._counter(
            "tokens", "Tokens: read (of which cached were not computed again) and written.", "kind"
        )
        self._first = self._histogram(
            "first_token_seconds", "From the beginning of a reply to its first token.", SECONDS
        )
        self._seconds = self._histogram("reply_seconds", "From the beginning of a reply to its end.", SECONDS)
        self._speed = self._histogram(
            "reply_tokens_per_second", "Tokens of a reply in a second, after its first.", SPEEDS
        )
        for kind in ("read", "cached", "written"):
            self._tokens.labels(kind)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"convmodel_{name}", told, labels, registry=self._registry)

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"convmodel_{name}", told, labels, buckets=buckets, registry=self._registry)

    def watch(self, name: str, told: str, number: Callable[[], float]) -> None:
        """Shows a number that somebody else knows, such as how many replies are open."""
        Gauge(f"convmodel_{name}", told, registry=self._registry).set_function(number)

    def watch_load(self, busy: ReportsLoad) -> None:
        """Shows how busy what replies is."""
        self.watch("model_running", "Requests that the model follows.", lambda: busy.load.running)
        self.watch("model_waiting", "Requests that wait for the model.", lambda: busy.load.waiting)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            method: of HTTP, one that is known.
            route: its template, never the path itself: there are as many numbers as routes.
            status: of HTTP.
            seconds: until its end.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was refused; `reason` is one of our codes."""
        self._refused.labels(reason).inc()

    def watch_policy(self, policy: Policy) -> None:
        """Shows how often a policy blocked a text, for each side and each check."""
        self._registry.register(_BlockedTexts(policy))

    def replied(self, reply: Reply) -> None:
        """A reply was made."""
        self._replies.labels(reply.candidates[0].source, reply.finish).inc()
        written = max(reply.reply_tokens, sum(candidate.tokens for candidate in reply.candidates))
        self.read_and_written(reply.context_tokens, written, cached=reply.cached_tokens)
        self._first.observe(reply.first_seconds)
        self._seconds.observe(reply.seconds)
        rest = reply.seconds - reply.first_seconds
        if reply.reply_tokens > 1 and rest > 0:
            self._speed.observe((reply.reply_tokens - 1) / rest)

    def read_and_written(self, read: int, written: int, *, cached: int = 0) -> None:
        """A model read and wrote so many tokens."""
        for kind, count in (("read", read), ("cached", cached), ("written", written)):
            self._tokens.labels(kind).inc(count)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class _BlockedTexts(Collector):
    """What a policy counts."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def collect(self) -> Iterator[Metric]:
        tally: Tally[tuple[str, str]] = Tally()
        for blocked, count in self._policy.counts.items():
            tally[blocked.side, blocked.by] += count
        family = CounterMetricFamily(
            "convmodel_blocked", "Texts that a policy did not let through.", labels=["side", "by"]
        )
        for labels, count in sorted(tally.items()):
            family.add_metric(labels, count)
        yield family
