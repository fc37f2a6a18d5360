"""The one table of options."""

from lacnode.cli.options.http_options import HTTP_OPTIONS
from lacnode.cli.options.metrics_options import METRICS_OPTIONS
from lacnode.cli.options.mining_options import MINING_OPTIONS
from lacnode.cli.options.node_options import NODE_OPTIONS
from lacnode.cli.options.option import Option
from lacnode.cli.options.other_releases_options import OTHER_RELEASES_OPTIONS
from lacnode.cli.options.p2p_options import P2P_OPTIONS
from lacnode.cli.options.pool_options import POOL_OPTIONS
from lacnode.cli.options.protection_options import PROTECTION_OPTIONS
from lacnode.cli.options.unstable_options import UNSTABLE_OPTIONS
from lacnode.cli.options.websocket_options import WEBSOCKET_OPTIONS

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
# An alias leads to the option itself. Settings have the option's own name alone.
BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in option.names}
