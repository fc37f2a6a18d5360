"""NET, WEB3 and `rpc_modules`: the network and the versions of this node."""

from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.rpc import results
from lacnode.rpc.errors import invalid_params, p2p_disabled
from lacnode.rpc.method_registry import Method, MethodRegistry, Params
from lacnode.rpc.parameters import parse_bytes, parse_text, required
from lacnode.rpc.services import RpcServices


def net_version(services: RpcServices, params: Params) -> object:
    """Return the network id as text in decimal digits."""
    return str(services.node.network_id)


def net_listening(services: RpcServices, params: Params) -> object:
    """Return whether P2P is on. It says nothing about peers."""
    return services.network is not None


def net_peerCount(services: RpcServices, params: Params) -> object:
    """Return the number of connected peers as a 0x quantity. RpcError if P2P is off."""
    if services.network is None:
        raise p2p_disabled()
    return results.quantity(len(services.network.peers))


def net_enode(services: RpcServices, params: Params) -> object:
    """Return this node's enode URL. RpcError if P2P is off."""
    if services.network is None:
        raise p2p_disabled()
    return str(services.network.local_enode)


def net_services(services: RpcServices, params: Params) -> object:
    """Return the host and the port, both as text, of each open service of this node by its name (such as `jsonrpc`,
    `p2p`)."""
    shown = {name: {"host": host, "port": str(port)} for name, (host, port) in services.node.endpoints.items()}
    if services.network is not None:
        enode = services.network.local_enode
        shown["p2p"] = {"host": enode.host, "port": str(enode.tcp)}
    return shown


def web3_clientVersion(services: RpcServices, params: Params) -> object:
    """Return the name and the version of this node as text."""
    return services.node.client_version


def web3_sha3(services: RpcServices, params: Params) -> object:
    """Return the Keccak-256 (32 bytes as 0x-hexadecimal) of the bytes in `params`. RpcError if they are no hexadecimal
    after `0x`."""
    given = parse_text(required(params, 0, "data"), "data")
    # Other methods accept data without `0x`, but Besu's `web3_sha3` does not.
    if given and not given.startswith("0x"):
        raise invalid_params("data: hexadecimal with 0x was expected")
    return to_hex(keccak256(parse_bytes(given, "data")))


def rpc_modules(services: RpcServices, params: Params) -> object:
    """Return the API groups of this port in lower case, each with the version "1.0"."""
    return {group.lower(): "1.0" for group in services.groups}


NET_METHODS = (
    Method("net_version", "NET", net_version, is_quick=True),
    Method("net_listening", "NET", net_listening, is_quick=True),
    Method("net_peerCount", "NET", net_peerCount),
    Method("net_enode", "NET", net_enode),
    Method("net_services", "NET", net_services),
    Method("web3_clientVersion", "WEB3", web3_clientVersion, is_quick=True),
    Method("web3_sha3", "WEB3", web3_sha3, arity=1),
    Method("rpc_modules", MethodRegistry.ALWAYS, rpc_modules),
)
