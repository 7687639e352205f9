"""Prometheus metrics of a server: requests, replies, tokens, times, load, and blocked texts."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from convmodel.responders.protocol import Generator, Reply
from convmodel.responders.text_selector import TextSelector
from convmodel.serving.safety.policy import Policy

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SPEEDS = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Metrics:
    """Metrics of one server, in their own Prometheus registry. Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Answered requests.", "method", "route", "status")
        description = "Seconds from a request to the end of its response."
        self._durations = self._histogram("request_seconds", description, SECONDS, "route")
        self._refused = self._counter("refused", "Rejected requests, by error code.", "reason")
        self._replies = self._counter("replies", "Completed replies.", "source", "finish")
        description = "Tokens read by the model, read from the cache (included in read), and written."
        self._tokens = self._counter("tokens", description, "kind")
        self._first = self._histogram("first_token_seconds", "Seconds from the start of a reply to its first token.")
        self._seconds = self._histogram("reply_seconds", "Seconds from the start of a reply to its end.")
        description = "Tokens of a reply per second, after its first token."
        self._speed = self._histogram("reply_tokens_per_second", description, SPEEDS)
        for kind in ("read", "cached", "written"):
            self._tokens.labels(kind)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(f"convmodel_{name}", description, labels, registry=self._registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...] = SECONDS, *labels: str) -> Histogram:
        return Histogram(f"convmodel_{name}", description, labels, buckets=buckets, registry=self._registry)

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge; `value` is called whenever the metrics are collected."""
        Gauge(f"convmodel_{name}", description, registry=self._registry).set_function(value)

    def watch_load(self, model: Generator | TextSelector) -> None:
        """Add gauges for the numbers of requests that a model works on and that wait for it."""
        self.watch("model_running", "Requests that the model is working on.", lambda: model.load.running)
        self.watch("model_waiting", "Requests that wait for the model.", lambda: model.load.waiting)

    def watch_policy(self, policy: Policy) -> None:
        """Add a counter of the texts that a policy blocked, by side and check."""
        self._registry.register(_BlockedTexts(policy))

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            route: path template of the route, such as /conversations/{id}; full paths would create a time series for
                each conversation.
            status: status of the response.
            seconds: time from the request to the end of its response.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def count_error(self, code: str) -> None:
        """Count a rejected request by its error code."""
        self._refused.labels(code).inc()

    def count_reply(self, reply: Reply) -> None:
        """Count a completed reply, its tokens, and the times until its first token and its end."""
        self._replies.labels(reply.candidates[0].source, reply.finish).inc()
        written = max(reply.reply_tokens, sum(candidate.tokens for candidate in reply.candidates))
        self.count_tokens(reply.context_tokens, written, cached=reply.cached_tokens)
        self._first.observe(reply.first_seconds)
        self._seconds.observe(reply.seconds)
        rest = reply.seconds - reply.first_seconds
        if reply.reply_tokens > 1 and rest > 0:
            self._speed.observe((reply.reply_tokens - 1) / rest)

    def count_tokens(self, read: int, written: int, *, cached: int = 0) -> None:
        """Count tokens that a model read and wrote; `cached` of the read tokens came from its cache."""
        for kind, count in (("read", read), ("cached", cached), ("written", written)):
            self._tokens.labels(kind).inc(count)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _BlockedTexts(Collector):
    """Prometheus collector of the numbers of texts that a policy blocked, by side and check."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def collect(self) -> Iterator[Metric]:
        tally: Tally[tuple[str, str]] = Tally()
        for blocked, count in self._policy.counts.items():
            tally[blocked.side, blocked.by] += count
        family = CounterMetricFamily("convmodel_blocked", "Texts blocked by the policy.", labels=["side", "by"])
        for labels, count in sorted(tally.items()):
            family.add_metric(labels, count)
        yield family
