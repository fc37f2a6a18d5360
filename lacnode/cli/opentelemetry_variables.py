"""From OpenTelemetry's environment variables to the settings of the collector.

Besu leaves them to OpenTelemetry's SDK: its autoconfiguration reads them. The names, defaults and forms are those of the
OpenTelemetry specification. A value that cannot be honoured ends the start, because metrics would silently go elsewhere,
or in another form. Must not read the variables of traces and logs: this node has none.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from lacnode.cli.errors import UsageError
from lacnode.cli.settings_reader import SettingsReader
from lacnode.metrics.metrics_settings import DEFAULT_CATEGORIES, MetricCategory, OtlpSettings
from lacnode.metrics.otlp_receiver import OtlpFileError, collector_tls

MAX_VARIABLE_CHARACTERS = 8192
"""The longest value. The headers are sent with every push."""

MIN_INTERVAL_SECONDS, MAX_DURATION_SECONDS = 0.1, 86_400
"""The shortest interval, since each message reads all series and the chain needs the time, and the longest duration."""

GRPC_PORT, HTTP_PORT = 4317, 4318
"""The usual ports of a collector."""

_PATH = "/v1/metrics"
_UNIT_SECONDS = {"": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,12})\s*(ms|s|m|h|d|)")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_TARGET = re.compile(r"[!-~]*")
"""The characters of a path and its query. A space or a line end would make another request."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[ -~\t]*")
_OWN_HEADERS = frozenset(
    (
        *("host", "content-type", "content-length", "content-encoding", "grpc-encoding", "te"),
        # HTTP/2 has none of these.
        *("connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"),
    )
)
"""Headers that the node sets itself, and those that would make another request."""


def sends_to_opentelemetry(read: SettingsReader) -> bool:
    """Return whether metrics go to a collector: the protocol of metrics is OPENTELEMETRY, and metrics or their push are
    on. As in Besu, each of these two switches is enough.
    """
    is_on = read.flag("metrics-enabled") or read.flag("metrics-push-enabled")
    return is_on and read.text("metrics-protocol") == "OPENTELEMETRY"


def unusual_port_warning(settings: OtlpSettings) -> str:
    """Return a warning if the port is the usual one of the other protocol: 4318 (HTTP) for gRPC, or 4317 (gRPC) for
    HTTP. Otherwise an empty text."""
    said, meant, usual = (
        ("grpc", "http/protobuf", GRPC_PORT) if settings.is_grpc else ("http/protobuf", "grpc", HTTP_PORT)
    )
    if settings.port != (HTTP_PORT if settings.is_grpc else GRPC_PORT):
        return ""
    return (
        f"OTEL_EXPORTER_OTLP_PROTOCOL={said}: port {settings.port} of the collector is most often for {meant}, and port "
        f"{usual} for {said}"
    )


def otlp_settings(
    read: SettingsReader, categories: frozenset[MetricCategory] = DEFAULT_CATEGORIES
) -> OtlpSettings | None:
    """Return the settings for sending metrics of `categories` to a collector, from OpenTelemetry's environment
    variables. None if a variable switches sending off. The switches among the options are not read here:
    `sends_to_opentelemetry` reads them. UsageError for a value or a file that cannot be used."""
    variables = _Variables(read.settings.opentelemetry)
    if variables.text("OTEL_SDK_DISABLED").lower() == "true" or not _exports(variables):
        return None
    _check_temporality(variables)
    is_grpc = variables.choice("PROTOCOL", ("grpc", "http/protobuf")) != "http/protobuf"
    url = _grpc_url(variables) if is_grpc else _http_url(variables)
    settings = OtlpSettings(
        host=url.hostname or "",
        port=url.port or (443 if url.scheme == "https" else 80),
        is_grpc=is_grpc,
        is_tls=url.scheme == "https",
        target="" if is_grpc else f"{url.path or '/'}{'?' if url.query else ''}{url.query}",
        headers=tuple(_headers(variables)),
        gzip=variables.choice("COMPRESSION", ("none", "gzip")) == "gzip",
        request_seconds=_seconds(*variables.exporter("TIMEOUT"), 10.0, 0.001),
        interval_seconds=_seconds(*variables.named("OTEL_METRIC_EXPORT_INTERVAL"), 60.0, MIN_INTERVAL_SECONDS),
        resource=tuple(_resource(variables, read).items()),
        ca_file=variables.path("CERTIFICATE"),
        client_certificate_file=variables.path("CLIENT_CERTIFICATE"),
        client_key_file=variables.path("CLIENT_KEY"),
        categories=categories,
    )
    _check_files(settings)
    return settings


class _Variables:
    """The variables. One that is empty counts as not set, as the specification says."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        return self.named(name)[1]

    def named(self, name: str) -> tuple[str, str]:
        """Return `name` and its value."""
        value = self._values.get(name, "").strip()
        if len(value) > MAX_VARIABLE_CHARACTERS:
            raise UsageError(f"{name}: at most {MAX_VARIABLE_CHARACTERS} characters were expected")
        return name, value

    def exporter(self, what: str) -> tuple[str, str]:
        """Return the name and value of a variable of the exporter. The one for metrics wins over the one for all."""
        name, value = self.named(f"OTEL_EXPORTER_OTLP_METRICS_{what}")
        return (name, value) if value else self.named(f"OTEL_EXPORTER_OTLP_{what}")

    def choice(self, what: str, values: tuple[str, ...]) -> str:
        """Return the value in small letters, empty if it is not set."""
        name, value = self.exporter(what)
        if value and value.lower() not in values:
            raise UsageError(f"{name}={value[:80]}: this node has {', '.join(values)}")
        return value.lower()

    def path(self, what: str) -> Path | None:
        _, value = self.exporter(what)
        return Path(value) if value else None


def _exports(variables: _Variables) -> bool:
    name, value = variables.named("OTEL_METRICS_EXPORTER")
    if value.lower() not in ("", "otlp", "none"):
        raise UsageError(f"{name}={value[:80]}: this node has otlp, none")
    return value.lower() != "none"


def _check_temporality(variables: _Variables) -> None:
    name, value = variables.named("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    if value.lower() not in ("", "cumulative"):
        raise UsageError(f"{name}={value[:80]}: this node has cumulative")


def _grpc_url(variables: _Variables) -> SplitResult:
    """Return the URL of a collector that is called by gRPC, which has one path for each method."""
    name, value = variables.exporter("ENDPOINT")
    url = _split_url(name, value or f"http://localhost:{GRPC_PORT}")
    if url.path not in ("", "/") or url.query:
        raise UsageError(
            f"{name}: a URL without a path was expected, because OTEL_EXPORTER_OTLP_PROTOCOL is grpc; a path is for "
            "http/protobuf"
        )
    return url


def _http_url(variables: _Variables) -> SplitResult:
    """Return the URL to which metrics are sent. Only the variable for all kinds of data gets the path of metrics added."""
    name, value = variables.named("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    if not value:
        name, value = variables.named("OTEL_EXPORTER_OTLP_ENDPOINT")
        value = (value or f"http://localhost:{HTTP_PORT}").rstrip("/") + _PATH
    return _split_url(name, value)


def _split_url(name: str, value: str) -> SplitResult:
    """Return the URL of the variable `name`, which has a host. UsageError for another text."""
    try:
        url = urlsplit(value)
        usable = url.scheme in ("http", "https") and _HOST.fullmatch(url.hostname or "") and url.port != 0
    except ValueError:
        usable = False
    # urlsplit drops line ends and tabs, so the text itself is looked at.
    if not usable or not _TARGET.fullmatch(value) or "#" in value:
        raise UsageError(f"{name}: a URL http://HOST:PORT or https://HOST:PORT was expected")
    # The value is not repeated: a password may be in it.
    if "@" in url.netloc:
        raise UsageError(f"{name}: user and password are not sent from a URL; OTEL_EXPORTER_OTLP_HEADERS sets headers")
    return url


def _headers(variables: _Variables) -> Iterator[tuple[str, str]]:
    name, value = variables.exporter("HEADERS")
    for key, text in _pairs(name, value):
        if not _HEADER_NAME.fullmatch(key) or key.lower() in _OWN_HEADERS or not _HEADER_VALUE.fullmatch(text):
            # The values of headers are secrets, so the text is not repeated.
            raise UsageError(f"{name}: '{key[:80]}' is no header that can be set")
        yield key, text


def _resource(variables: _Variables, read: SettingsReader) -> dict[str, str]:
    """Return the attributes of the node. An option that is set wins over the variables, as in Besu."""
    found = {"service.name": read.text("metrics-push-prometheus-job")}
    found |= dict(_pairs(*variables.named("OTEL_RESOURCE_ATTRIBUTES")))
    if service := variables.text("OTEL_SERVICE_NAME"):
        found["service.name"] = service
    if read.is_set("metrics-push-prometheus-job"):
        found["service.name"] = read.text("metrics-push-prometheus-job")
    return found


def _pairs(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the members of `key=value,key=value`. Values are percent-encoded."""
    for member in text.split(","):
        if not member.strip():
            continue
        key, equals, value = member.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{name}: key=value,key=value was expected")
        yield key.strip(), unquote(value.strip())


def _seconds(name: str, text: str, default: float, lowest: float) -> float:
    """Return a duration of at least `lowest`. A number without a unit has milliseconds."""
    if not text:
        return default
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0.0
    if not lowest <= seconds <= MAX_DURATION_SECONDS:
        expected = f"milliseconds from {lowest * 1000:.0f} to {MAX_DURATION_SECONDS * 1000}"
        raise UsageError(f"{name}={text[:80]}: {expected} were expected")
    return seconds


def _check_files(settings: OtlpSettings) -> None:
    # They are read now, so that a wrong one ends the start before a port is open.
    try:
        collector_tls(settings)
    except OtlpFileError as error:
        raise UsageError(f"OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY: {error}") from None
