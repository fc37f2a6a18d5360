"""The metrics of a small network: the page, Besu's list, the dashboard and the alert rules name series that exist."""

import fnmatch
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
import trio
import yaml
from trio_websocket import open_websocket_url

from lacnode.chain.execution_counters import ExecutionCounters
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.metrics.metrics_settings import DEFAULT_CATEGORIES
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.metrics.series import MetricSeries, MetricsRegistry, MetricType
from lacnode.node.network_metrics import synchronizer_series
from lacnode.node.node import Node
from lacnode.node.node_metrics import engine_series, manager_quota_series, privacy_series
from lacnode.node.rpc_metrics import rpc_series
from lacnode.privacy.manager.quota import Quota
from lacnode.privacy.state.group_statuses import GroupCondition, GroupStatuses, PrivacyHealth
from lacnode.rpc.call_statistics import CallStatistics
from lacnode.rpc.errors import internal_error, invalid_params
from lacnode.rpc.server import RpcServers
from lacnode.sync.sync_status import SyncStatus
from lacnode.sync.synchronizer import Synchronizer
from tests.support.metrics_network import LISTED, STRANGER, MetricsNetwork, call, running, scrape, send
from tests.support.promql import Scrape, evaluate, names_in

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operators" / "metrics.md").read_text("utf-8")
DASHBOARD = json.loads((ROOT / "docker" / "grafana" / "dashboard.json").read_text("utf-8"))
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((ROOT / "docker" / "grafana" / "alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
}
BESU_SERIES = [
    line
    for line in (ROOT / "tests" / "unit" / "metrics" / "besu_series.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
SUFFIXES = ("", "_count", "_sum")


class NetworkScrapes:
    """What a healthy network served, and which series a node may serve."""

    def __init__(self) -> None:
        self.before = self.after = Scrape(0, "")
        self.series: dict[str, MetricSeries] = {}


async def until(holds: Callable[[], bool]) -> None:
    """Wait for the condition. The nursery of the network has the deadline."""
    while True:
        if holds():
            return
        await trio.sleep(0.02)


@asynccontextmanager
async def healthy_network(path: Path) -> AsyncIterator[tuple[Node, Node, httpx.AsyncClient]]:
    keys = [NodeKey.generate() for _ in range(2)]
    network = MetricsNetwork(keys[:1], path)
    first = network.make(keys[0])
    async with running(first) as client:
        second = network.make(keys[1], (first.network.local_enode,))
        async with trio.open_nursery() as nursery:
            await nursery.start(second.run)
            await until(lambda: len(first.network.peers) == 1 and second.chain.head.header.number > 0)
            yield first, second, client
            nursery.cancel_scope.cancel()


async def watch_healthy_network(path: Path) -> NetworkScrapes:
    scrapes = NetworkScrapes()
    async with healthy_network(path) as (first, second, client):
        assert first.metrics is not None
        scrapes.series = {series.name: series for series in first.metrics.registry.series}
        await use(client, first, second, 0)
        scrapes.before = Scrape(time.time(), await scrape(client, first))
        async with open_websocket_url(f"ws://127.0.0.1:{first.rpc.ws_port}") as socket:
            await socket.send_message('{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}')
            await socket.get_message()
            await use(client, first, second, 2)
            scrapes.after = Scrape(time.time(), await scrape(client, first))
    return scrapes


async def use(client: httpx.AsyncClient, first: Node, second: Node, nonce: int) -> None:
    """Send transactions to both nodes, and a wrong call to the first."""
    assert "error" in await call(client, first, "eth_getBalance", "no address", "latest")
    assert "result" in await send(client, first, LISTED, nonce)
    # The second node has the list too, and relays what it was sent.
    assert "result" in await send(client, second, LISTED, nonce + 1)
    await until(lambda: first.chain.counters.imported_transactions == nonce + 2)
    height = first.chain.head.header.number
    await until(lambda: first.chain.head.header.number > height)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> NetworkScrapes:
    return trio.run(watch_healthy_network, tmp_path_factory.mktemp("healthy"))


# -- the names -------------------------------------------------------------------------------------------------------


def private_series() -> list[MetricSeries]:
    return [*privacy_series(cast(GroupStatuses, None)), *manager_quota_series(cast(Quota, _Usage()))]


class _Usage:
    usage = None


def all_series(healthy: NetworkScrapes) -> dict[str, MetricSeries]:
    return {**healthy.series, **{series.name: series for series in private_series()}}


def test_the_page_lists_every_series(healthy: NetworkScrapes) -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \| (\w+) \|", PAGE, re.M)
    there = {(name, series.category.name, series.kind.value) for name, series in all_series(healthy).items()}
    assert set(rows) == there
    assert len(rows) == len(there)


def test_every_series_of_besu_is_here_or_on_the_page_with_a_reason(healthy: NetworkScrapes) -> None:
    table = PAGE.partition("## Series of Besu that are not here")[2].partition("\n## ")[0]
    patterns = re.findall(r"`([\w*]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    here = all_series(healthy)
    absent = [name for name in BESU_SERIES if name not in here]
    assert len(BESU_SERIES) > 200
    assert [name for name in absent if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not fnmatch.filter(absent, pattern)] == []


def test_a_scrape_of_a_network_has_the_values(healthy: NetworkScrapes) -> None:
    found = healthy.after.series().keys()
    # Nothing of these happens in a healthy network.
    unseen = {"besu_peers_disconnected_total", "besu_transaction_pool_rejected_total"}
    expected = {name for name in healthy.series if name not in unseen}
    assert {name for name in expected if not {name + suffix for suffix in SUFFIXES} & found} == set()


def value(scrape_: Scrape, series: str, /, **labels: str) -> float:
    """The value of a series, 0 while it is not there."""
    found = scrape_.series().get(series, {})
    return sum(number for own, number in found.items() if labels.items() <= dict(own).items())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("ethereum_blockchain_height", {}),
        ("besu_blockchain_chain_head_transaction_count_counter", {}),
        ("besu_blockchain_chain_head_gas_used_counter", {}),
        ("besu_transaction_pool_added_total", {"source": "local", "priority": "yes"}),
        ("besu_transaction_pool_removed_total", {"source": "local", "operation": "confirmed"}),
        ("besu_transaction_pool_transactions_removed_total", {"source": "local", "operation": "addedToBlock"}),
        ("besu_rpc_request_time_count", {"methodName": "eth_getBalance"}),
        ("besu_rpc_errors_count", {"rpcMethod": "eth_getBalance", "errorType": "INVALID_PARAMS"}),
        ("besu_rpc_subscription_subscribe_total", {"type": "newHeads"}),
        ("besu_transaction_pool_added_total", {"source": "remote"}),
        ("besu_rpc_active_ws_connection_count", {}),
        ("besu_network_p2p_messages_inbound", {"protocol": "eth/68", "name": "Transactions", "code": "2"}),
        ("besu_network_p2p_messages_outbound", {"protocol": "eth/68", "name": "NewBlock", "code": "7"}),
        ("lacnode_permissioning_decisions_total", {"permitted": "yes"}),
    ],
)
def test_what_happens_is_counted(healthy: NetworkScrapes, name: str, labels: dict[str, str]) -> None:
    before, after = value(healthy.before, name, **labels), value(healthy.after, name, **labels)
    assert after > before


def test_the_gauges_say_how_the_network_is(healthy: NetworkScrapes) -> None:
    expected = {
        "ethereum_peer_count": 1,
        "ethereum_peer_limit": 25,
        "besu_synchronizer_in_sync": 1,
        "lacnode_consensus_validators": 1,
        "lacnode_consensus_quorum": 1,
        "lacnode_consensus_connected_validators": 1,
        "lacnode_consensus_is_validator": 1,
    }
    assert {name: value(healthy.after, name) for name in expected} == expected


# -- the dashboard ---------------------------------------------------------------------------------------------------


def queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def known_names(series: Iterable[MetricSeries]) -> set[str]:
    names = {"up"}
    for one in series:
        names |= {one.name + suffix for suffix in (SUFFIXES if one.kind is MetricType.SUMMARY else ("",))}
    return names


def test_every_query_of_the_dashboard_names_series_that_exist(healthy: NetworkScrapes) -> None:
    known = known_names(all_series(healthy).values())
    assert len(list(queries())) > 40
    assert {(title, name) for title, query in queries() for name in names_in(query) - known} == set()


def test_the_panels_have_data(healthy: NetworkScrapes) -> None:
    scrapes = [healthy.before, healthy.after]
    empty = {title for title, query in queries() if not evaluate(query, scrapes, healthy.after.time)}
    # Nothing of these happens in a healthy network without private transactions.
    assert empty <= {
        "Refusals by rule",
        "Groups",
        "Missing payloads",
        "Bytes kept for other managers",
        "Rejected per second",
        "Disconnections per second",
    }
    block_times = evaluate(dict(queries())["Block Time"], scrapes, healthy.after.time)
    assert all(0 < seconds < math.inf for seconds in block_times.values())


# -- the alert rules -------------------------------------------------------------------------------------------------


def fires(alert: str, scrapes: list[Scrape], now: float | None = None) -> bool:
    return bool(evaluate(ALERTS[alert], scrapes, scrapes[-1].time if now is None else now))


def test_a_healthy_network_fires_no_alert(healthy: NetworkScrapes) -> None:
    assert {alert for alert in ALERTS if fires(alert, [healthy.before, healthy.after])} == set()


def test_a_node_that_is_down_or_makes_no_block_is_told(healthy: NetworkScrapes) -> None:
    last = healthy.after.time
    assert fires("LacnodeDown", [healthy.after, Scrape(last + 5, "")])
    assert not fires("LacnodeChainStalled", [healthy.after], last + 30)
    assert fires("LacnodeChainStalled", [healthy.after], last + 100)


async def test_a_validator_without_the_others_is_told(tmp_path: Path) -> None:
    keys = [NodeKey.generate() for _ in range(2)]
    network = MetricsNetwork(keys, tmp_path)
    node = network.make(keys[0])
    async with running(node) as client:
        other = network.make(keys[1], (node.network.local_enode,))
        async with trio.open_nursery() as nursery:
            await nursery.start(other.run)
            # A validator signs nothing before it has met the others.
            await until(lambda: node.chain.head.header.number > 0)
            nursery.cancel_scope.cancel()
        await until(lambda: not node.network.peers)
        scrapes = [Scrape(time.time(), await scrape(client, node))]
        # Rounds end without a block, each after twice the time of the one before.
        await until(lambda: node.validator.round_changes.count > 0)
        seen = node.validator.round_changes.count
        node.validator.round_changes.count += 3
        scrapes.append(Scrape(time.time(), await scrape(client, node)))
    assert value(scrapes[-1], "lacnode_consensus_round_changes_total") >= seen + 3
    for alert in ("LacnodeNoQuorum", "LacnodeValidatorMissing", "LacnodeNoPeers", "LacnodeRoundChanges"):
        assert fires(alert, scrapes), alert
    assert fires("LacnodeChainStalled", scrapes, scrapes[-1].time + 100)


async def test_a_refused_account_is_told(tmp_path: Path) -> None:
    key = NodeKey.generate()
    node = MetricsNetwork([key], tmp_path).make(key)
    async with running(node) as client:
        assert "error" in await send(client, node, STRANGER)
        scrapes = [Scrape(time.time(), await scrape(client, node))]
        assert not fires("LacnodeRefusals", scrapes)
        assert "error" in await send(client, node, STRANGER)
        scrapes.append(Scrape(time.time(), await scrape(client, node)))
    assert fires("LacnodeRefusals", scrapes)


def served(series: Iterable[MetricSeries]) -> str:
    """What a node with these series serves."""
    return encode_metrics(MetricsRegistry(series, DEFAULT_CATEGORIES).read(())).decode()


def test_engines_that_differ_are_told() -> None:
    differences = EngineDifferences()
    series = list(engine_series("both", differences, ExecutionCounters()))
    assert not fires("LacnodeEnginesDiffer", [Scrape(1, served(series))])
    differences.count += 1
    assert fires("LacnodeEnginesDiffer", [Scrape(1, served(series))])


def test_a_method_that_fails_is_told() -> None:
    class Ports:
        statistics = CallStatistics()
        http_connections = ws_connections = 0
        subscription_totals: tuple[()] = ()

    def failing(error: Any) -> Scrape:
        Ports.statistics.count_error("eth_call", error)
        return Scrape(len(scrapes), served(rpc_series(cast(RpcServers, Ports()))))

    scrapes: list[Scrape] = []
    for error in (internal_error(), invalid_params(), invalid_params()):
        scrapes.append(failing(error))
    assert not fires("LacnodeInternalErrors", scrapes)
    scrapes.append(failing(internal_error()))
    assert fires("LacnodeInternalErrors", scrapes)


def test_a_node_that_is_behind_is_told(healthy: NetworkScrapes) -> None:
    class Chain:
        class head:
            class header:
                number = 100

    class Syncing:
        def __init__(self, highest: int) -> None:
            self.status = SyncStatus(0, 100, highest)

    def scraped(highest: int) -> Scrape:
        chain, syncing = cast(Any, Chain), cast(Synchronizer, Syncing(highest))
        height = [series for series in healthy.series.values() if series.name == "ethereum_blockchain_height"]
        text = served([*synchronizer_series(chain, syncing)]) + f"# TYPE {height[0].name} gauge\n{height[0].name} 100\n"
        return Scrape(1, text)

    assert not fires("LacnodeBehind", [scraped(110)])
    assert fires("LacnodeBehind", [scraped(130)])


@pytest.mark.parametrize(
    ("alert", "condition", "missing"),
    [("LacnodePayloadsMissing", GroupCondition.WAITING, 1), ("LacnodeGroupsDiverged", GroupCondition.DIVERGED, 0)],
)
def test_private_groups_in_trouble_are_told(alert: str, condition: GroupCondition, missing: int) -> None:
    class Statuses:
        def __init__(self, health: PrivacyHealth) -> None:
            self._health = health

        def health(self) -> PrivacyHealth:
            return self._health

    def scraped(groups: int, missing: int) -> Scrape:
        statuses = Statuses(PrivacyHealth({condition: groups}, missing))
        return Scrape(1, served(privacy_series(cast(GroupStatuses, statuses))))

    assert not fires(alert, [scraped(0, 0)])
    assert fires(alert, [scraped(1, missing)])


def test_file_descriptors_that_run_out_are_told(healthy: NetworkScrapes) -> None:
    few = re.sub(r"(?m)^process_max_fds .*$", "process_max_fds 2", healthy.after.text)
    assert fires("LacnodeFileDescriptors", [Scrape(1, few)])


def test_every_alert_has_a_row_on_the_page() -> None:
    assert re.findall(r"^\| `(Lacnode\w+)` \|", PAGE, re.M) == list(ALERTS)


def test_the_dashboard_is_not_larger_than_it_must_be() -> None:
    assert orjson.loads(orjson.dumps(DASHBOARD)) == DASHBOARD
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
