"""The one table of options."""

from lacnode.cli.options.http import HTTP_OPTIONS
from lacnode.cli.options.metrics import METRICS_OPTIONS
from lacnode.cli.options.mining import MINING_OPTIONS
from lacnode.cli.options.node import NODE_OPTIONS
from lacnode.cli.options.option import Option
from lacnode.cli.options.other_releases import OTHER_RELEASES_OPTIONS
from lacnode.cli.options.p2p import P2P_OPTIONS
from lacnode.cli.options.pool import POOL_OPTIONS
from lacnode.cli.options.protection import PROTECTION_OPTIONS
from lacnode.cli.options.unstable import UNSTABLE_OPTIONS
from lacnode.cli.options.websocket import WEBSOCKET_OPTIONS

GROUPS: dict[str, tuple[Option, ...]] = {
    "Node, chain, data, logs": NODE_OPTIONS,
    "Peers": P2P_OPTIONS,
    "JSON-RPC over HTTP": HTTP_OPTIONS,
    "WebSocket, GraphQL, engine": WEBSOCKET_OPTIONS,
    "Blocks and gas": MINING_OPTIONS,
    "Transaction pool": POOL_OPTIONS,
    "Permissioning and privacy": PROTECTION_OPTIONS,
    "Metrics": METRICS_OPTIONS,
    "Hidden": UNSTABLE_OPTIONS,
    "Of earlier and later releases": OTHER_RELEASES_OPTIONS,
}
OPTIONS: tuple[Option, ...] = tuple(option for group in GROUPS.values() for option in group)
BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in option.names}
