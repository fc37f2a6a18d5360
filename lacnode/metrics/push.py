"""Series pushed to a receiver, for nodes that Prometheus cannot reach: a push gateway (Besu's `MetricsPushGatewayService`)
or an OpenTelemetry collector (Besu's `MetricsOtelPushService`).

A receiver that is away, hangs or refuses costs the node one line in the log and one connection at a time. It is tried again
after a pause that doubles from failure to failure.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog
import trio

from lacnode.metrics.receiver_request import ReceiverError
from lacnode.metrics.series import MetricFamily, MetricsRegistry

log = structlog.get_logger("metrics")

MAX_PAUSE_SECONDS = 300.0
"""The longest pause after failures, unless the interval is longer."""

FAREWELL_SECONDS = 1.0
"""Seconds that the node's stop waits for the receiver to be told of it."""


class MetricsReceiver(Protocol):
    """Where series are pushed to. `title` begins a sentence about it, and `url` may be logged."""

    @property
    def title(self) -> str:
        """What the receiver is, as the beginning of a sentence for the log."""

    @property
    def url(self) -> str:
        """The address of the receiver for the log, without secrets."""

    def encode(self, families: Sequence[MetricFamily]) -> bytes:
        """Return the body of a push with these families. Called in a worker thread."""

    async def push(self, body: bytes) -> str:
        """Send a body that `encode` made. Return a remark of the receiver, empty if it has none. ReceiverError if the
        receiver does not accept it in time."""

    async def report_stop(self) -> None:
        """Notify the receiver that the node stops. ReceiverError if the receiver does not accept this in time."""


class MetricsPush:
    """Pushes the values of `registry` to `receiver` every `interval_seconds`, until it is cancelled. After failures the
    pauses grow."""

    def __init__(self, receiver: MetricsReceiver, interval_seconds: float, registry: MetricsRegistry) -> None:
        self._receiver = receiver
        self._interval_seconds = interval_seconds
        self._registry = registry
        self._failures = 0
        self._wait_seconds = 0.0
        self._pushed = False
        self._remarked = False
        self._reading = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Push every interval, for the first time after half of one, until cancelled. Failures are logged and raise no
        error. At the end, the receiver is told of the stop if the last push succeeded."""
        log.info(f"Metrics are pushed to {self._receiver.url} every {self._interval_seconds:g} s")
        # Besu waits for half an interval too. The first values are then those of a node that has loaded.
        await trio.sleep(self._interval_seconds / 2)
        try:
            while True:
                await self._push()
                await trio.sleep(self._pause_seconds())
        finally:
            await self._say_farewell()

    async def _push(self) -> None:
        self._wait_seconds = 0.0
        try:
            body = await trio.to_thread.run_sync(self._body, limiter=self._reading)
            remark = await self._receiver.push(body)
        except ReceiverError as error:
            self._wait_seconds = error.wait_seconds
            self._failed(str(error))
        except Exception:
            log.exception("metrics could not be read")
            self._failures += 1
        else:
            self._succeeded(remark)

    def _body(self) -> bytes:
        return self._receiver.encode(self._registry.read(()))

    def _failed(self, reason: str) -> None:
        # Only the first failure is a line in the log. A receiver may be away for days.
        if self._failures == 0:
            log.warning(
                f"Metrics could not be pushed to {self._receiver.url}: {reason}. "
                "The node tries again, and says so when it works."
            )
        self._failures += 1

    def _succeeded(self, remark: str) -> None:
        if self._failures or not self._pushed:
            log.info(f"{self._receiver.title} {self._receiver.url} takes the metrics", failed_before=self._failures)
        # A receiver may have the same remark about every push. It is one line in the log until there is none.
        if remark and not self._remarked:
            log.warning(f"{self._receiver.title} {self._receiver.url} says: {remark}")
        self._failures = 0
        self._pushed = True
        self._remarked = bool(remark)

    def _pause_seconds(self) -> float:
        interval = self._interval_seconds
        longest = max(interval, MAX_PAUSE_SECONDS)
        # The exponent is bounded as well: a float overflows after a thousand failures.
        return min(max(interval * 2.0 ** min(self._failures, 32), self._wait_seconds), longest)

    async def _say_farewell(self) -> None:
        # A receiver that never took anything has nothing to forget. One that is away would only delay the stop.
        if not self._pushed or self._failures:
            return
        # The node's stop has cancelled this task. The shield lets the last request go out.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FAREWELL_SECONDS):
            try:
                await self._receiver.report_stop()
            except ReceiverError as error:
                log.debug("the receiver of the metrics was not told of the stop", reason=str(error))
