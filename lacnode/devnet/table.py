"""The table of a devnet: one row for each node, read over JSON-RPC like any client does.

Must not read the files of the nodes, except to see whether they run.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from lacnode.devnet.manifest import DevnetNode
from lacnode.devnet.processes import find_pid, is_paused
from lacnode.rpc.json_rpc_client import NodeUnreachableError, call_all, read_quantity

RATE_WINDOW_SECONDS = 10.0
"""The time over which blocks a second are averaged."""

WIDE_COLUMNS = 132
"""The width from which the table has the addresses of the nodes."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """The state of one node and its answers. `state` is `down`, `paused`, `starting` (the process runs, and its
    JSON-RPC does not answer) or `up`. `role` is `validator`, or None for other nodes. `pending` is the number of pooled
    transactions, and `engine` the name of the EVM. An answer is None if the node does not give it."""

    node: DevnetNode
    state: str
    height: int | None = None
    round: int | None = None
    role: str | None = None
    peers: int | None = None
    pending: int | None = None
    engine: str | None = None


def read_row(node: DevnetNode, timeout: float = 1.0) -> NodeRow:
    """Return the row of `node`. Waits at most about `timeout` seconds for its answer. Nothing is raised."""
    if find_pid(node) is None:
        return NodeRow(node, "down")
    # Asked before the call: a paused node accepts connections and would take the whole timeout.
    if is_paused(node):
        return NodeRow(node, "paused")
    calls: list[tuple[str, list[object]]] = [
        ("eth_blockNumber", []),
        ("net_peerCount", []),
        ("txpool_besuStatistics", []),
        ("lac_consensusStatus", []),
    ]
    try:
        # One request for all values, so that a row shows one moment and a slow node costs one timeout.
        height, peers, pool, consensus = call_all(node.rpc_url, calls, timeout)
    except NodeUnreachableError:
        return NodeRow(node, "starting")
    # Another program may answer on this port. Its values have any shape, and those of another shape count as missing.
    local, remote = _count(pool, "localCount"), _count(pool, "remoteCount")
    values = consensus if isinstance(consensus, dict) else {}
    engine = values.get("evm")
    return NodeRow(
        node,
        "up",
        height=read_quantity(height),
        peers=read_quantity(peers),
        pending=None if local is None or remote is None else local + remote,
        round=_count(consensus, "round"),
        engine=engine if isinstance(engine, str) else None,
        role="validator" if values.get("isValidator") is True else None,
    )


class BlockRate:
    """Blocks a second over the last `RATE_WINDOW_SECONDS` seconds, for each node."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def add(self, row: NodeRow) -> float | None:
        """Record the row's height. Return the node's blocks a second. None until there are two heights of this node,
        and if the row has none."""
        if row.height is None:
            return None
        now = time.monotonic()
        seen = self._seen.setdefault(row.node.name, deque())
        seen.append((now, row.height))
        # It ends at the latest at the entry that was just added.
        while seen[0][0] < now - RATE_WINDOW_SECONDS:
            seen.popleft()
        (first_time, first_height), (last_time, last_height) = seen[0], seen[-1]
        return (last_height - first_height) / (last_time - first_time) if last_time > first_time else None


def make_table(rows: Sequence[NodeRow], rates: Sequence[float | None], width: int) -> Table:
    """Return the table that `lacnode devnet` shows in `width` columns. `rates` has the blocks a second of each row, None if
    unknown. A narrow table has no addresses."""
    is_wide = width >= WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, collapse_padding=not is_wide)
    for name in ("node", "role", *(("address",) if is_wide else ()), "state", "evm"):
        table.add_column(name, no_wrap=True)
    for name in ("height", "round", "peers", "pending", "blocks/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, rate in zip(rows, rates, strict=True):
        table.add_row(
            row.node.name,
            row.role or row.node.role,
            *((row.node.address,) if is_wide else ()),
            row.state,
            row.engine or "-",
            *(_shown(value) for value in (row.height, row.round, row.peers, row.pending)),
            "-" if rate is None else f"{rate:.2f}",
        )
    return table


def _count(result: object, name: str) -> int | None:
    value = result.get(name) if isinstance(result, dict) else None
    return value if isinstance(value, int) else None


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)
