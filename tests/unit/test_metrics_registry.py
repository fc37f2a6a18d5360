"""Which series a scrape has, whether their values can be had or not, and what Prometheus reads of them."""

import importlib

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.series import Kind, Registry, Sample, Series
from lacnode.metrics.settings import DEFAULT_CATEGORIES, Category, MetricsSettings
from tests.logs import captured_logs


def gauge(category: Category, name: str, *samples: Sample) -> Series:
    return Series(category, name, Kind.GAUGE, "a text", lambda: samples)


HEIGHT = gauge(Category.ETHEREUM, "ethereum_height", Sample(3))
CHECKS = gauge(Category.PERMISSIONING, "besu_permissioning_checks", Sample(4))
EMPTY = gauge(Category.RPC, "besu_rpc_time")


def names(registry: Registry, *wanted: str) -> list[str]:
    return [family.series.name for family in registry.read(wanted)]


def test_categories_and_names_choose_and_what_has_no_value_is_left_out() -> None:
    registry = Registry([HEIGHT, CHECKS, EMPTY], DEFAULT_CATEGORIES)
    assert names(registry) == ["ethereum_height", "besu_permissioning_checks"]
    assert names(registry, "ethereum_height", "unknown") == ["ethereum_height"]
    assert names(registry, "besu_rpc_time") == []
    assert names(Registry([HEIGHT, CHECKS], {Category.ETHEREUM})) == ["ethereum_height"]


@pytest.mark.parametrize("name", ["besu_checks_count", "lacnode_checks_total"])
def test_a_counter_keeps_its_name_and_its_labels_what_they_say(name: str) -> None:
    rule = 'a "rule"\n\\ of mine'
    checks = Series(Category.RPC, name, Kind.COUNTER, f"{name} of rules\nby rule", lambda: [Sample(2, {"rule": rule})])
    text = importlib.import_module("lacnode.metrics.text").written(Registry([checks], DEFAULT_CATEGORIES).read(()))
    assert text.decode().splitlines()[1] == f"# TYPE {name} counter"
    (family,) = text_string_to_metric_families(text.decode())
    assert (family.type, family.documentation) == ("counter", f"{name} of rules\nby rule")
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"rule": rule}, 2.0)]


async def test_a_series_that_cannot_be_read_ends_a_scrape_and_nothing_else() -> None:
    troubles = ["the disk"]

    def read() -> list[Sample]:
        if troubles:
            raise OSError(troubles.pop())
        return [Sample(1)]

    series = Series(Category.RPC, "besu_rpc_calls", Kind.GAUGE, "calls", read)
    endpoint = MetricsEndpoint(MetricsSettings(port=0), [series])
    with captured_logs() as logged, trio.fail_after(30):
        async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
            await nursery.start(endpoint.run)
            url = f"http://127.0.0.1:{endpoint.port}/metrics"
            assert (await client.get(url)).status_code == 500
            assert "besu_rpc_calls 1.0" in (await client.get(url)).text
            nursery.cancel_scope.cancel()
    assert "metrics could not be read" in [entry["event"] for entry in logged]
