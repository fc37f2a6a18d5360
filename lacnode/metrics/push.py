"""Series pushed to a Prometheus push gateway, for nodes that Prometheus cannot reach (Besu's `MetricsPushGatewayService`).

A gateway that is away, hangs or refuses costs the node one line in the log and one connection at a time. It is tried again
after a pause that doubles from failure to failure.
"""

from collections.abc import Iterable

import structlog
import trio

from lacnode.metrics.gateway import GatewayError, PushGateway
from lacnode.metrics.metrics_settings import PushSettings
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.metrics.series import MetricSeries, MetricsRegistry

log = structlog.get_logger("metrics")

MAX_PAUSE_SECONDS = 300.0
"""The longest pause after failures, unless the interval is longer."""

FAREWELL_SECONDS = 1.0
"""Seconds that the node's stop waits for the gateway to delete the series."""


class MetricsPush:
    """Pushes the values of `series` to the gateway of `settings` again and again, until it is cancelled."""

    def __init__(self, settings: PushSettings, series: Iterable[MetricSeries]) -> None:
        self._settings = settings
        self._registry = MetricsRegistry(series, settings.categories)
        self._gateway = PushGateway(settings.host, settings.port, settings.job)
        self._failures = 0
        self._pushed = False
        self._reading = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Push every interval, for the first time after half of one. At the end, ask the gateway to delete the
        series."""
        log.info(f"Metrics are pushed to {self._gateway.url} every {self._settings.interval_seconds:g} s")
        # Besu waits for half an interval too. The first values are then those of a node that has loaded.
        await trio.sleep(self._settings.interval_seconds / 2)
        try:
            while True:
                await self._push()
                await trio.sleep(self._pause_seconds())
        finally:
            await self._say_farewell()

    async def _push(self) -> None:
        try:
            body = await trio.to_thread.run_sync(lambda: encode_metrics(self._registry.read(())), limiter=self._reading)
            await self._gateway.push(body)
        except GatewayError as error:
            self._failed(str(error))
        except Exception:
            log.exception("metrics could not be read")
            self._failures += 1
        else:
            self._succeeded()

    def _failed(self, reason: str) -> None:
        # Only the first failure is a line in the log. A gateway may be away for days.
        if self._failures == 0:
            log.warning(
                f"Metrics could not be pushed to {self._gateway.url}: {reason}. "
                "The node tries again, and says so when it works."
            )
        self._failures += 1

    def _succeeded(self) -> None:
        if self._failures or not self._pushed:
            log.info(f"The push gateway {self._gateway.url} takes the metrics", failed_before=self._failures)
        self._failures = 0
        self._pushed = True

    def _pause_seconds(self) -> float:
        interval = self._settings.interval_seconds
        # The exponent is bounded as well: a float overflows after a thousand failures.
        return min(interval * 2.0 ** min(self._failures, 32), max(interval, MAX_PAUSE_SECONDS))

    async def _say_farewell(self) -> None:
        """Ask the gateway to delete the series. Without this, it would show the last values of a node that is gone."""
        # A gateway that never took anything has nothing to delete. One that is away would only delay the stop.
        if not self._pushed or self._failures:
            return
        # The node's stop has cancelled this task. The shield lets the last request go out.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FAREWELL_SECONDS):
            try:
                await self._gateway.delete()
            except GatewayError as error:
                log.debug("the push gateway keeps the metrics", reason=str(error))
