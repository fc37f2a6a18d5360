"""ETH: the methods about mining. Besu on a BFT network answers most of them with fixed values, or with "Internal error"."""

from lacnode.rpc.errors import internal_error
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.services import RpcServices


def eth_coinbase(services: RpcServices, params: Params) -> object:
    """Return the address of this node as 0x-hexadecimal."""
    return "0x" + services.node.coinbase.hex()


def eth_mining(services: RpcServices, params: Params) -> object:
    """Return True always: Besu says so on a BFT network."""
    return True


def eth_hashrate(services: RpcServices, params: Params) -> object:
    """Return "0x0" always: there is no proof of work."""
    return "0x0"


def no_proof_of_work(services: RpcServices, params: Params) -> object:
    """RpcError "Internal error" always, as in Besu: there is no proof of work on a BFT network."""
    raise internal_error()


def eth_submitHashrate(services: RpcServices, params: Params) -> object:
    """Return False and do nothing: there is no proof of work."""
    return False


MINING_METHODS = tuple(
    Method(name, "ETH", handler, is_quick=name == "eth_coinbase")
    for name, handler in {
        "eth_coinbase": eth_coinbase,
        "eth_mining": eth_mining,
        "eth_hashrate": eth_hashrate,
        "eth_getWork": no_proof_of_work,
        "eth_submitWork": no_proof_of_work,
        "eth_submitHashrate": eth_submitHashrate,
    }.items()
)
