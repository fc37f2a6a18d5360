"""Which of OpenTelemetry's variables reach the settings, and which end the start."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import make_node_config
from lacnode.cli.sources import collect_settings
from lacnode.metrics.metrics_settings import DEFAULT_CATEGORIES, MetricCategory, OtlpSettings
from lacnode.node.configuration import NodeConfig
from tests.support.certificates import certificate

ConfigureWith = Callable[..., NodeConfig]
SWITCHED_ON = {"metrics-enabled": "true", "metrics-protocol": "OPENTELEMETRY"}


@pytest.fixture
def configured(genesis: Path, tmp_path: Path) -> ConfigureWith:
    """The configuration of options and of environment variables."""

    def make(environment: Mapping[str, str], **options: str) -> NodeConfig:
        line = {name.replace("_", "-"): value for name, value in options.items()} or SWITCHED_ON
        files = {"genesis-file": str(genesis), "data-path": str(tmp_path)}
        return make_node_config(collect_settings({**files, **line}, environment))

    return make


def test_without_variables_the_collector_is_on_this_machine(configured: ConfigureWith) -> None:
    config = configured({})
    assert config.metrics_otlp == OtlpSettings()
    assert (config.metrics, config.metrics_push) == (None, None)
    # Besu has a second switch, and the same job for both protocols.
    pushed = configured(
        {},
        metrics_push_enabled="true",
        metrics_protocol="OPENTELEMETRY",
        metrics_push_prometheus_job="mine",
        metrics_category="RPC",
    )
    assert pushed.metrics_push is None
    categories = frozenset([MetricCategory.RPC])
    assert pushed.metrics_otlp == OtlpSettings(resource=(("service.name", "mine"),), categories=categories)
    assert not any("ignored" in warning or "no effect" in warning for warning in pushed.warnings)


def test_the_variables_are_not_read_for_another_protocol(configured: ConfigureWith) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "nothing", "OTEL_EXPORTER_OTLP_PROTOCOL": "zipkin"}
    assert configured(wrong, metrics_enabled="true").metrics_otlp is None
    assert configured(wrong, metrics_protocol="OPENTELEMETRY").metrics_otlp is None


def test_each_variable_reaches_the_settings(configured: ConfigureWith, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "own")
    config = configured(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example/base/",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b%3Dc, x-other = 1=2 ,",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_METRIC_EXPORT_INTERVAL": "15s",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(pem),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(pem),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(pem.with_suffix(".key")),
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,service.instance.id=n%2C1",
            "OTEL_SERVICE_NAME": "mine",
            "OTEL_TRACES_EXPORTER": "zipkin",
        }
    )
    assert config.metrics_otlp == OtlpSettings(
        host="collector.example",
        port=443,
        is_grpc=False,
        is_tls=True,
        target="/base/v1/metrics",
        headers=(("api-key", "a b=c"), ("x-other", "1=2")),
        gzip=True,
        request_seconds=2.5,
        interval_seconds=15,
        resource=(("service.name", "mine"), ("service.instance.id", "n,1")),
        ca_file=pem,
        client_certificate_file=pem,
        client_key_file=pem.with_suffix(".key"),
        categories=DEFAULT_CATEGORIES,
    )


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("http://[::1]:9/x?token=1", "::1", 9, "/x?token=1"),
        ("http://collector", "collector", 80, "/"),
    ],
)
def test_the_url_for_metrics_alone_is_taken_as_it_stands(
    configured: ConfigureWith, url: str, host: str, port: int, target: str
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "no",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    found = configured(variables).metrics_otlp
    assert found is not None
    assert (found.is_grpc, found.host, found.port, found.target) == (False, host, port, target)


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls"),
    [
        ("http://collector:4317", "collector", 4317, False),
        ("https://collector/", "collector", 443, True),
        ("http://[::1]:9", "::1", 9, False),
    ],
)
def test_a_collector_is_called_by_grpc_unless_the_variables_say_otherwise(
    configured: ConfigureWith, url: str, host: str, port: int, is_tls: bool
) -> None:
    found = configured({"OTEL_EXPORTER_OTLP_ENDPOINT": url}).metrics_otlp
    assert found == OtlpSettings(host=host, port=port, is_tls=is_tls)
    assert configured({"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).metrics_otlp == found


def test_over_http_the_collector_is_at_its_usual_port(configured: ConfigureWith) -> None:
    found = configured({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}).metrics_otlp
    assert found == OtlpSettings(port=4318, is_grpc=False, target="/v1/metrics")


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_SDK_DISABLED": "TRUE"}, {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "zipkin"}],
)
def test_a_collector_can_be_switched_off(configured: ConfigureWith, variables: Mapping[str, str]) -> None:
    assert configured(variables).metrics_otlp is None


def test_an_empty_variable_counts_as_not_set(configured: ConfigureWith) -> None:
    empty = dict.fromkeys(("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"), " ")
    assert configured(empty).metrics_otlp == OtlpSettings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "this node has grpc, http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317/v1/metrics", "a URL without a path"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4317?a=b", "a URL without a path"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Keep-Alive=3", "'Keep-Alive' is no header"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a b/", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a/\r\nX: y", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:99999", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:0", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://<COLLECTOR>:4318", "a URL http://HOST:PORT"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + "a" * 9000, "at most 8192 characters"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://user:s3cret@a/", "are not sent from a URL"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "key=value,key=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%0d%0ab", "'a' is no header"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3cret", "'a b' is no header"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Content-Length=3", "'Content-Length' is no header"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "this node has none, gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds from 1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1", "milliseconds from 100 to 86400000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "99", "milliseconds from 100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often", "milliseconds from 100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2d", "milliseconds from 100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "٣٠٠٠", "milliseconds from 100"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "this node has otlp, none"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", "this node has cumulative"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x", "key=value,key=value"),
    ],
)
def test_a_value_that_cannot_be_honoured_ends_the_start(
    configured: ConfigureWith, name: str, value: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        configured({name: value})
    text = str(caught.value)
    assert text.startswith(name)
    assert said in text
    # Headers and URLs have secrets in them.
    assert "s3cret" not in text
    assert len(text) < 300


def test_files_of_tls_are_read_at_the_start(configured: ConfigureWith, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"_CERTIFICATE.*missing\.pem"):
        configured(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "missing.pem"),
            }
        )


def test_options_without_effect_are_named(configured: ConfigureWith) -> None:
    config = configured({}, **{**SWITCHED_ON, "metrics-port": "1"}, metrics_host="127.0.0.1")
    (unused,) = [warning for warning in config.warnings if "OTEL_METRIC_EXPORT_INTERVAL" in warning]
    assert "--metrics-host and --metrics-port" in unused


@pytest.mark.parametrize(
    ("protocol", "port", "count"),
    [("", 4317, 0), ("grpc", 4318, 1), ("http/protobuf", 4318, 0), ("http/protobuf", 4317, 1)],
)
def test_a_port_of_the_other_protocol_is_told(configured: ConfigureWith, protocol: str, port: int, count: int) -> None:
    url = f"http://collector:{port}"
    warnings = configured({"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}).warnings
    assert sum(f"port {port} of the collector is most often for" in warning for warning in warnings) == count
