"""A node pushes what it counts to a gateway or to an OpenTelemetry collector."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.support.devnet import until
from tests.support.single_node import single_node

Requests = list[tuple[str, str, bytes]]


@contextmanager
def gateway() -> Iterator[tuple[int, Requests]]:
    """The port of a gateway that takes everything, and what it got: method, path and body."""
    requests: Requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            requests.append((self.command, self.path, body))
            self.send_response(202)
            self.end_headers()

        do_DELETE = do_POST

        def log_message(self, *_: object) -> None:
            """Not on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], requests
        finally:
            server.shutdown()


def test_a_node_pushes_its_series_under_its_job_and_removes_them(tmp_path: Path) -> None:
    with gateway() as (port, requests):
        options = ["--metrics-push-enabled", f"--metrics-push-port={port}", "--metrics-push-interval=1"]
        with single_node(tmp_path, *options, "--metrics-push-prometheus-job=my node"):
            until(lambda: len(requests) > 1, "the second push")
        method, path, body = requests[1]
        assert (method, path) == ("POST", "/metrics/job/my%20node")
        assert b"\nethereum_blockchain_height " in body
        assert requests[-1][:2] == ("DELETE", "/metrics/job/my%20node")


def test_a_gateway_that_is_not_there_is_told_of_once_and_holds_nothing(tmp_path: Path) -> None:
    with gateway() as (port, _):
        pass
    with single_node(tmp_path, "--metrics-push-enabled", f"--metrics-push-port={port}", "--metrics-push-interval=1"):
        until(lambda: "Metrics could not be pushed" in (tmp_path / "log").read_text(), "the warning")
    log = (tmp_path / "log").read_text()
    assert log.count("Metrics could not be pushed") == 1
    assert log.rstrip().endswith("stopped")


def test_a_node_sends_its_series_to_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--metrics-enabled", "--metrics-protocol=OPENTELEMETRY", "--metrics-push-prometheus-job=my node"]
    with gateway() as (port, requests):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
        with single_node(tmp_path, *options) as ports:
            until(lambda: len(requests) > 1, "the second message")
        # As with Besu, no port is opened.
        assert "metrics" not in ports
    method, path, body = requests[1]
    assert (method, path) == ("POST", "/v1/metrics")
    (message,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    attributes = {one.key: one.value.string_value for one in message.resource.attributes}
    assert attributes["service.name"] == "my node"
    assert len(attributes["service.instance.id"]) == 42
    names = {(scope.scope.name, metric.name) for scope in message.scope_metrics for metric in scope.metrics}
    expected = {
        ("ethereum", "blockchain_height"),
        ("lacnode_consensus", "quorum"),
        ("process", "cpu_seconds_total"),
        ("jvm", "jvm.memory.area"),
    }
    assert expected <= names
    assert "Traceback" not in (tmp_path / "log").read_text()
