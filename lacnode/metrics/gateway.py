"""A Prometheus push gateway: the texts and paths of its requests. Must not know the meaning of a series."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import quote

from lacnode.metrics.metrics_settings import PushSettings
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.metrics.receiver_request import ReceiverAddress, ReceiverRequest, send_request
from lacnode.metrics.series import MetricFamily

REQUEST_SECONDS = 10.0
"""Seconds that one request may take, from the look-up of the name to the status of the response."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class PushGateway:
    """The Prometheus push gateway of `settings`, a `MetricsReceiver`, for the group of series of its job."""

    title = "The push gateway"

    def __init__(self, settings: PushSettings) -> None:
        self._address = ReceiverAddress(settings.host, settings.port)
        self._target = f"/metrics/{_job_path(settings.job)}"

    @property
    def url(self) -> str:
        """The URL to which the series are written, with the job."""
        return self._address.url + self._target

    def encode(self, families: Sequence[MetricFamily]) -> bytes:
        """Return the families in Prometheus's text format, in UTF-8."""
        return encode_metrics(families)

    async def push(self, body: bytes) -> str:
        """Send the series in `body` to the job's group in the gateway. A series of the same name there is replaced,
        others stay. Return empty text: a gateway makes no remark. ReceiverError if the gateway refuses them, cannot be
        reached, or does not answer within `REQUEST_SECONDS`."""
        await self._request("POST", body)
        return ""

    async def report_stop(self) -> None:
        """Remove every series of the job from the gateway. Without this, it would show the last values of a node that
        has stopped. ReceiverError if the gateway refuses, cannot be reached, or does not answer within
        `REQUEST_SECONDS`."""
        await self._request("DELETE", b"")

    async def _request(self, method: str, body: bytes) -> None:
        request = ReceiverRequest(method, self._target, [("Content-Type", TEXT)], body)
        await send_request(self._address, request, REQUEST_SECONDS)


def _job_path(job: str) -> str:
    """Return the job as the gateway reads it in a path. A job with a slash goes in base64."""
    if "/" not in job:
        return f"job/{quote(job, safe='')}"
    return f"job@base64/{urlsafe_b64encode(job.encode()).decode()}"
