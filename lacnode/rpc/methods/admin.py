"""ADMIN: peers, and the node itself."""

from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.errors import ENODE_ERROR, PARSE_ERROR, SERVER_ERROR, RpcError, p2p_disabled
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import optional, parse_text, required, wrong_parameter
from lacnode.rpc.services import NetworkView, RpcServices

BAD_ID = (
    "Invalid node ID: node ID must have exactly 128 hexadecimal characters and should not include any '0x' hex prefix."
)


def _network(services: RpcServices) -> NetworkView:
    if services.network is None:
        raise p2p_disabled()
    return services.network


def _enode(params: Params) -> Enode:
    url = parse_text(required(params, 0, "enode"), "enode")
    try:
        return Enode.parse(url)
    except EnodeError as error:
        reason = str(error)
    # Besu has three different errors for a wrong enode URL. The parser's text tells which of them fits.
    if "a node id of 128" in reason:
        raise RpcError(SERVER_ERROR, BAD_ID)
    if "an IP address was expected" in reason:
        raise RpcError(ENODE_ERROR, "Enode DNS support is disabled", reason)
    raise RpcError(PARSE_ERROR, "Parse error", reason)


def admin_addPeer(services: RpcServices, params: Params) -> object:
    """Make the enode URL in `params` a static node: it is dialled from now on whenever it is not connected and the rules
    permit it, until this node ends. Return True, or False if it is static already, with the same address.

    RpcError if P2P is off, if the URL is wrong or has a host name, or if it is this node's own.
    """
    network, enode = _network(services), _enode(params)
    if enode.id == network.local_enode.id:
        raise RpcError(ENODE_ERROR, "Cannot add local node as peer.")
    # The network belongs to the event loop. A worker thread must not change it.
    return services.event_loop.call(lambda: network.add_static(enode))


def admin_removePeer(services: RpcServices, params: Params) -> object:
    """End the connection with the node of the enode URL in `params`, if there is one, and do not dial this node again.
    It may still dial this node. Return True, or False if it was not on the list of nodes to dial. RpcError if P2P is
    off, or if the URL is wrong or has a host name."""
    network, enode = _network(services), _enode(params)
    return services.event_loop.call(lambda: network.remove_static_and_disconnect(enode))


def admin_peers(services: RpcServices, params: Params) -> object:
    """Return the connected peers in Besu's form, empty if there are none. RpcError if P2P is off."""
    return [_peer(peer) for peer in _network(services).peers]


def _peer(peer: Peer) -> results.Json:
    local, remote = peer.description.local_address, peer.description.remote_address
    return {
        "version": results.quantity(peer.description.p2p_version),
        "name": peer.description.client_id,
        "caps": list(peer.description.capabilities),
        "network": {"localAddress": f"{local[0]}:{local[1]}", "remoteAddress": f"{remote[0]}:{remote[1]}"},
        "port": results.quantity(remote[1]),
        "id": to_hex(peer.id),
        "protocols": {
            "eth": {
                "difficulty": results.quantity(peer.head.total_difficulty),
                "head": to_hex(peer.head.hash),
                "version": peer.description.eth_version,
            }
        },
        "enode": peer.enode_text,
    }


def admin_nodeInfo(services: RpcServices, params: Params) -> object:
    """Return this node's enode URL, ports, client version, genesis configuration and head in Besu's form. RpcError if
    P2P is off."""
    network, head = _network(services), services.chain.head
    enode = network.local_enode
    return {
        "enode": str(enode),
        "ip": enode.host,
        "listenAddr": f"{enode.host}:{enode.tcp}",
        # Besu leaves out the `0x` of the id here, but not in `admin_peers`.
        "id": enode.id.hex(),
        "name": services.node.client_version,
        "ports": {"discovery": enode.udp or 0, "listener": enode.tcp},
        "protocols": {
            "eth": {
                "config": dict(services.chain.spec.config_document),
                "difficulty": head.total_difficulty,
                "genesis": to_hex(services.chain.genesis_hash),
                "head": to_hex(head.hash),
                "network": services.node.network_id,
            }
        },
    }


LOG_LEVELS = ("OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL")


def admin_changeLogLevel(services: RpcServices, params: Params) -> object:
    """Change the log level of the loggers with the given names (such as `rpc`, `p2p`, `consensus`), which then have
    levels of their own, or of all loggers that have none of their own. `params` are one of `LOG_LEVELS` and, if wanted,
    an array of names. Return None. RpcError if a parameter is wrong. Then nothing changes."""
    # Everything is checked before the first logger changes. A refused call changes nothing.
    level = parse_text(required(params, 0, "log level"), "log level")
    if level not in LOG_LEVELS:
        raise wrong_parameter("log level", f"one of {', '.join(LOG_LEVELS)} was expected")
    names = optional(params, 1)
    if not isinstance(names, list | None) or not all(isinstance(name, str) for name in names or ()):
        raise wrong_parameter("log filter", "an array of names was expected")
    if len(names or ()) > MAX_LOG_FILTERS:
        raise wrong_parameter("log filter", f"at most {MAX_LOG_FILTERS} names were expected")
    services.change_log_level(level, names or ())
    return None


MAX_LOG_FILTERS = 100

ADMIN_METHODS = (
    Method("admin_changeLogLevel", "ADMIN", admin_changeLogLevel),
    Method("admin_addPeer", "ADMIN", admin_addPeer, arity=1),
    Method("admin_removePeer", "ADMIN", admin_removePeer, arity=1),
    Method("admin_peers", "ADMIN", admin_peers),
    Method("admin_nodeInfo", "ADMIN", admin_nodeInfo),
)
