"""An OpenTelemetry collector: the requests of OTLP over HTTP, and what its answers say.

The body is JSON, and gRPC is not spoken. Must not know the meaning of a series.
"""

import gzip
import ssl
import time
from collections.abc import Mapping, Sequence

from lacnode.metrics.metrics_settings import OtlpSettings
from lacnode.metrics.otlp_message import encode_otlp, read_refusal
from lacnode.metrics.receiver_request import ReceiverAddress, ReceiverError, ReceiverRequest, send_request
from lacnode.metrics.series import MetricFamily

MAX_ANSWER_BYTES = 64 * 2**10
"""Bytes of the body of an answer. A collector answers with two or with some hundred."""

MAX_REMARK_CHARACTERS = 200
"""Characters of a collector's own words that are logged."""

GRPC_PORT = 4317
"""The port of OTLP over gRPC. Besu speaks gRPC unless a variable says otherwise, so this port is a likely mistake."""


class OtlpFileError(Exception):
    """A file with certificates or a key for the OpenTelemetry collector cannot be used. The text names the files."""


class OtlpCollector:
    """The OpenTelemetry collector of `settings`, a `MetricsReceiver`. `resource` are the attributes of this node, and
    `started_ns` is its start in Unix nanoseconds. OtlpFileError if a file of the settings cannot be used."""

    title = "The OpenTelemetry collector"

    def __init__(self, settings: OtlpSettings, resource: Mapping[str, str], started_ns: int) -> None:
        self._settings = settings
        # A byte of a variable or an option that is no UTF-8 is a lone surrogate in Python, which JSON does not take.
        self._resource = {_as_unicode(name): _as_unicode(value) for name, value in resource.items()}
        self._started_ns = started_ns
        self._address = ReceiverAddress(settings.host, settings.port, collector_tls(settings))
        encoding = [("Content-Encoding", "gzip")] if settings.gzip else []
        self._headers = [*settings.headers, ("Content-Type", "application/json"), *encoding]

    @property
    def url(self) -> str:
        """The URL of the collector without its query, which may have a key of the operator in it."""
        return self._address.url + self._settings.target.partition("?")[0]

    def encode(self, families: Sequence[MetricFamily]) -> bytes:
        """Return the message with the families at the time of now, in JSON, compressed if the settings say so."""
        body = encode_otlp(families, self._resource, self._started_ns, time.time_ns())
        return gzip.compress(body, 6) if self._settings.gzip else body

    async def push(self, body: bytes) -> str:
        """Send a message. Return how many values the collector refuses and why, empty text if it refuses none.
        ReceiverError if it does not accept the message within the seconds of the settings."""
        request = ReceiverRequest("POST", self._settings.target, self._headers, body, MAX_ANSWER_BYTES)
        try:
            answer = await send_request(self._address, request, self._settings.request_seconds)
        except ReceiverError as error:
            if self._settings.port != GRPC_PORT:
                raise
            text = f"{error} (port {GRPC_PORT} is for gRPC; this node sends OTLP over HTTP, most often port 4318)"
            raise ReceiverError(text, error.wait_seconds) from None
        refused, reason = read_refusal(answer)
        # A collector may warn about a message that it took whole.
        if refused <= 0 and not reason:
            return ""
        return f"{refused} values are refused: {reason[:MAX_REMARK_CHARACTERS]}"

    async def report_stop(self) -> None:
        """Do nothing: a collector keeps no values of a node that has stopped."""


def _as_unicode(text: str) -> str:
    return text.encode(errors="replace").decode()


def collector_tls(settings: OtlpSettings) -> ssl.SSLContext | None:
    """Return the TLS context for the collector of `settings`, with the own certificate if there is one. None for a
    collector without TLS. OtlpFileError if a file cannot be used."""
    if not settings.is_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_certificate_file is not None:
            context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    except (OSError, ssl.SSLError) as error:
        files = (settings.ca_file, settings.client_certificate_file, settings.client_key_file)
        named = ", ".join(str(file) for file in files if file is not None)
        raise OtlpFileError(f"{named}: certificates and a key in PEM were expected ({error})") from None
    return context
