"""What a four-validator devnet does with one request for each transaction, and the processor time of each side.

`python -m benchmarks.single_requests [RATE SECONDS]`. The generator shares the machine with the validators. Its time is
shown, because it is taken from theirs. Processor time hardly depends on other load, block intervals do.
"""

import http.client
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from benchmarks.measure import Measure
from benchmarks.networks import Network, devnet
from benchmarks.throughput import MAX_INTERVAL, Sender, block_shown
from lacnode.rpc.json_rpc_client import block_number

RATES = {"transfers": 200, "ERC-20 transfers": 100, "relay-like calls": 50}
"""Transactions a second."""

SECONDS = 30


def measure(rate: int | None = None, seconds: int = SECONDS) -> list[Measure]:
    """Milliseconds of processor time of a validator for each transaction, at one rate for each kind."""
    measures = []
    for name, usual in RATES.items():
        with devnet("--block-period", "2") as network:
            measures.append(_measured(network, name, rate or usual, seconds))
    return measures


def _measured(network: Network, name: str, rate: int, seconds: int) -> Measure:
    signed = list(itertools.islice(Sender(network).load(name), rate * seconds))
    nodes = [psutil.Process(node["pid"]) for node in network.nodes]
    url = network.nodes[0]["rpc_url"]
    first, before, own_before = block_number(url), _processor_seconds(nodes), time.process_time()
    _send_singly(network, signed, rate)
    own = time.process_time() - own_before
    last = block_number(url)
    # Two more blocks take what the pool still has.
    time.sleep(2 * MAX_INTERVAL)
    used = _processor_seconds(nodes) - before
    blocks = [block_shown(url, number) for number in range(first + 1, block_number(url) + 1)]
    mined = sum(len(block["transactions"]) for block in blocks)
    arrivals = [int(block["timestamp"], 16) for block in blocks[: last - first]]
    intervals = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    longest = statistics.quantiles(intervals, n=20)[-1] if len(intervals) > 1 else float("inf")
    note = (
        f"{rate}/s sent for {seconds} s, {mined / seconds:.0f}/s mined, p95 block interval {longest:.2f} s; "
        f"generator {own / len(signed) * 1000:.2f} ms a transaction"
    )
    each = used / len(nodes) / max(1, mined) * 1000
    return Measure(f"processor time of a validator, one request each: {name}", each, "ms", note=note)


def _processor_seconds(nodes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time that the nodes and their children have used."""
    processes = [each for node in nodes for each in (node, *node.children(recursive=True))]
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def _send_singly(network: Network, signed: Sequence[str], rate: int) -> None:
    """Send each transaction in a request of its own, on one connection for each account, at `rate` a second."""
    count = len(network.accounts)
    # An account's transactions go to one node: another one would have to hold them until the earlier ones come.
    threads = [
        threading.Thread(
            target=_send_to,
            args=(network.nodes[index % len(network.nodes)]["rpc_url"], signed[index::count], rate / count),
        )
        for index in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_to(url: str, signed: Sequence[str], rate: float) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    began = time.monotonic()
    for number, raw in enumerate(signed):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        request = {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": [raw]}
        connection.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
        reply = json.loads(connection.getresponse().read())
        if "error" in reply:
            raise RuntimeError(f"a transaction was refused: {reply['error']}")
    connection.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    for result in measure(*numbers):
        print(f"{result.name}: {result.value:.2f} {result.unit} ({result.note})")
