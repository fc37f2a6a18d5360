"""A scrape of all metrics of a validator, every method of its API with full times: what Prometheus costs a node.

The node is built and not run, so no block and no peer takes time meanwhile. The client reads the port as Prometheus does.
Processor time counts, the client's included, so that other work on the machine does not.
"""

import time
from dataclasses import replace

import trio

from benchmarks.measure import Measure
from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.devnet_ports import node_ports
from lacnode.devnet.in_process import memory_node_config
from lacnode.metrics.endpoint import MetricsEndpoint
from lacnode.metrics.metrics_settings import MetricCategory, MetricsSettings
from lacnode.metrics.prometheus_text import encode_metrics
from lacnode.node.assembly import build_node
from lacnode.node.node import Node
from lacnode.node.node_resources import NodeResources
from lacnode.rpc.call_statistics import REMEMBERED_CALLS, CallStatistics
from lacnode.rpc.errors import invalid_params
from lacnode.rpc.method_list import all_methods
from lacnode.storage.consensus_log import MemoryConsensusLog
from lacnode.storage.memory_database import MemoryDatabase

SCRAPES = 30
REQUEST = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
AIM_MILLISECONDS = 20.0


def measure() -> list[Measure]:
    """Milliseconds of a scrape over HTTP, when no method and when every method was called since the last one."""
    node = _node()
    endpoint, statistics = node.metrics, node.rpc.statistics
    assert endpoint is not None
    _call_all(statistics, REMEMBERED_CALLS)
    lines = encode_metrics(endpoint.registry.read(())).count(b"\n")
    calm = trio.run(_best_scrape, endpoint, statistics, False)
    busy = trio.run(_best_scrape, endpoint, statistics, True)
    note = f"{lines} lines; processor time of node and client"
    return [
        Measure("scrape of all metrics, no call since the last", calm * 1000, "ms", AIM_MILLISECONDS, True, note),
        Measure("scrape of all metrics, each method called since", busy * 1000, "ms", AIM_MILLISECONDS, True, note),
    ]


def _node() -> Node:
    key = NodeKey.generate()
    spec = parse_genesis(devnet_genesis([key.address], (), 1.0, int(time.time())))
    settings = MetricsSettings(port=0, categories=frozenset(MetricCategory))
    config = replace(memory_node_config(node_ports(0, 0), ()), metrics=settings)
    return build_node(config, NodeResources(spec, key, MemoryDatabase(), MemoryConsensusLog()))


def _call_all(statistics: CallStatistics, times: int) -> None:
    error = invalid_params("wrong")
    for method in all_methods():
        for number in range(times):
            statistics.count_call(method.name, number * 7919 % 1000 / 1e5)
        statistics.count_error(method.name, error)


async def _best_scrape(endpoint: MetricsEndpoint, statistics: CallStatistics, called: bool) -> float:
    best = float("inf")
    async with trio.open_nursery() as nursery:
        await nursery.start(endpoint.run)
        assert endpoint.port is not None
        for _ in range(SCRAPES):
            if called:
                _call_all(statistics, 1)
            began = time.process_time()
            await _scrape(endpoint.port)
            best = min(best, time.process_time() - began)
        nursery.cancel_scope.cancel()
    return best


async def _scrape(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(REQUEST)
        received = [bytes(part) async for part in stream]
    if not received[0].startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the scrape failed: {received[0][:80]!r}")
