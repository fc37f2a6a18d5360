"""An OpenTelemetry collector: what it is sent by OTLP over gRPC or over HTTP, and what its answers say.

Both ways carry the same message. Must not know the meaning of a series.
"""

import gzip
import importlib
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from lacnode.metrics.metrics_settings import OtlpSettings
from lacnode.metrics.otlp_message import encode_otlp, read_refusal
from lacnode.metrics.receiver_request import MAX_REMARK_CHARACTERS, ReceiverAddress, ReceiverRequest, send_request
from lacnode.metrics.series import MetricFamily

MAX_ANSWER_BYTES = 64 * 2**10
"""Bytes of an answer: of its body over HTTP, of all frames with gRPC. A collector answers with some hundred at most."""


class OtlpFileError(Exception):
    """A file with certificates or a key for the OpenTelemetry collector cannot be used. The text names the files."""


class OtlpTransport(Protocol):
    """A way to carry OTLP's message to a collector."""

    def encode_body(self, message: bytes) -> bytes:
        """Return the bytes to send for `message`, compressed if the settings say so. Nothing is sent here."""

    async def send(self, body: bytes) -> bytes:
        """Send what `encode_body` made. Return the collector's message, or its beginning. ReceiverError if the
        collector does not accept it within the seconds of the settings."""


class OtlpCollector:
    """The OpenTelemetry collector of `settings`, a `MetricsReceiver`. `resource` are the attributes of this node, and
    `started_ns` is its start in Unix nanoseconds. OtlpFileError if a file of the settings cannot be used."""

    title = "The OpenTelemetry collector"

    def __init__(self, settings: OtlpSettings, resource: Mapping[str, str], started_ns: int) -> None:
        self._resource = resource
        self._started_ns = started_ns
        address = ReceiverAddress(settings.host, settings.port, collector_tls(settings))
        self._url = address.url + settings.target.partition("?")[0]
        self._transport = _transport(settings, address)

    @property
    def url(self) -> str:
        """The URL of the collector without its query, which may have a key of the operator in it."""
        return self._url

    def encode(self, families: Sequence[MetricFamily]) -> bytes:
        """Return the families and the present time as one message, in the form in which the transport sends it."""
        return self._transport.encode_body(encode_otlp(families, self._resource, self._started_ns, time.time_ns()))

    async def push(self, body: bytes) -> str:
        """Send a message that `encode` made. Return a text with the number of values that the collector refuses and its
        reason, also for a warning without a refusal. Empty text if it has no remark. ReceiverError if it does not
        accept the message within the seconds of the settings."""
        refused, reason = read_refusal(await self._transport.send(body))
        # A collector may warn about a message that it took whole.
        if not refused and not reason:
            return ""
        return f"{refused} values are refused: {reason[:MAX_REMARK_CHARACTERS]}"

    async def report_stop(self) -> None:
        """Do nothing: a collector keeps no values of a node that has stopped."""


class _OtlpHttp:
    """OTLP over HTTP to the collector at `address`, an `OtlpTransport`."""

    def __init__(self, settings: OtlpSettings, address: ReceiverAddress) -> None:
        self._settings = settings
        self._address = address
        encoding = [("Content-Encoding", "gzip")] if settings.gzip else []
        self._headers = [*settings.headers, ("Content-Type", "application/x-protobuf"), *encoding]

    def encode_body(self, message: bytes) -> bytes:
        """Return `message`, compressed if the settings say so."""
        return gzip.compress(message, 6) if self._settings.gzip else message

    async def send(self, body: bytes) -> bytes:
        """Send a body. Return the beginning of the body of the answer. ReceiverError if the status is not from 200 to
        299, or does not come within the seconds of the settings."""
        request = ReceiverRequest("POST", self._settings.target, self._headers, body, MAX_ANSWER_BYTES)
        return await send_request(self._address, request, self._settings.request_seconds)


def _transport(settings: OtlpSettings, address: ReceiverAddress) -> OtlpTransport:
    if not settings.is_grpc:
        return _OtlpHttp(settings, address)
    # HTTP/2 takes time to load, and only these nodes need it.
    transport: OtlpTransport = importlib.import_module("lacnode.metrics.otlp_grpc").OtlpGrpc(settings, address)
    return transport


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
    if settings.is_grpc:
        context.set_alpn_protocols(["h2"])
    return context
