"""Which series a scrape has, whether their values can be had or not, and what Prometheus reads of them."""

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.metrics_settings import DEFAULT_CATEGORIES, MetricCategory, MetricsSettings
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.metrics.series import MetricSample, MetricSeries, MetricsRegistry, MetricType
from tests.support.logs import captured_logs


def gauge(category: MetricCategory, name: str, *samples: MetricSample) -> MetricSeries:
    return MetricSeries(category, name, MetricType.GAUGE, "a text", lambda: samples)


HEIGHT = gauge(MetricCategory.ETHEREUM, "ethereum_height", MetricSample(3))
CHECKS = gauge(MetricCategory.PERMISSIONING, "besu_permissioning_checks", MetricSample(4))
EMPTY = gauge(MetricCategory.RPC, "besu_rpc_time")


def names(registry: MetricsRegistry, *wanted: str) -> list[str]:
    return [family.series.name for family in registry.read(wanted)]


def test_categories_and_names_choose_and_what_has_no_value_is_left_out() -> None:
    registry = MetricsRegistry([HEIGHT, CHECKS, EMPTY], DEFAULT_CATEGORIES)
    assert names(registry) == ["ethereum_height", "besu_permissioning_checks"]
    assert names(registry, "ethereum_height", "unknown") == ["ethereum_height"]
    assert names(registry, "besu_rpc_time") == []
    assert names(MetricsRegistry([HEIGHT, CHECKS], {MetricCategory.ETHEREUM})) == ["ethereum_height"]


@pytest.mark.parametrize("name", ["besu_checks_count", "lacnode_checks_total"])
def test_a_counter_keeps_its_name_and_its_labels_what_they_say(name: str) -> None:
    rule = 'a "rule"\n\\ of mine'
    checks = MetricSeries(
        MetricCategory.RPC,
        name,
        MetricType.COUNTER,
        f"{name} of rules\nby rule",
        lambda: [MetricSample(2, {"rule": rule})],
    )
    text = encode_metrics(MetricsRegistry([checks], DEFAULT_CATEGORIES).read(()))
    assert text.decode().splitlines()[1] == f"# TYPE {name} counter"
    (family,) = text_string_to_metric_families(text.decode())
    assert (family.type, family.documentation) == ("counter", f"{name} of rules\nby rule")
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"rule": rule}, 2.0)]


async def test_a_series_that_cannot_be_read_ends_a_scrape_and_nothing_else() -> None:
    troubles = ["the disk"]

    def read() -> list[MetricSample]:
        if troubles:
            raise OSError(troubles.pop())
        return [MetricSample(1)]

    series = MetricSeries(MetricCategory.RPC, "besu_rpc_calls", MetricType.GAUGE, "calls", read)
    endpoint = MetricsEndpoint(MetricsSettings(port=0), [series])
    with captured_logs() as logged, trio.fail_after(30):
        async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
            await nursery.start(endpoint.run)
            url = f"http://127.0.0.1:{endpoint.port}/metrics"
            assert (await client.get(url)).status_code == 500
            assert "besu_rpc_calls 1.0" in (await client.get(url)).text
            nursery.cancel_scope.cancel()
    assert "metrics could not be read" in [entry["event"] for entry in logged]
