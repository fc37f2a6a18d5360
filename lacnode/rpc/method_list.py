"""All methods of a node. The list is a module of its own, so that a reader process loads only the methods that it needs."""

from collections.abc import Iterable

from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.rpc.method_registry import Method
from lacnode.rpc.methods.admin import ADMIN_METHODS
from lacnode.rpc.methods.calls import CALL_METHODS
from lacnode.rpc.methods.debug_node import DEBUG_NODE_METHODS
from lacnode.rpc.methods.debug_state import DEBUG_STATE_METHODS
from lacnode.rpc.methods.debug_traces import DEBUG_TRACE_METHODS
from lacnode.rpc.methods.eea import EEA_METHODS
from lacnode.rpc.methods.eth_blocks import BLOCK_METHODS
from lacnode.rpc.methods.eth_config import CONFIG_METHODS
from lacnode.rpc.methods.eth_mining import MINING_METHODS
from lacnode.rpc.methods.eth_state import STATE_METHODS
from lacnode.rpc.methods.eth_transactions import TRANSACTION_METHODS
from lacnode.rpc.methods.gas_prices import FEE_METHODS
from lacnode.rpc.methods.ibft import IBFT_METHODS
from lacnode.rpc.methods.lac import LAC_METHODS
from lacnode.rpc.methods.lac_permissions import LAC_PERMISSION_METHODS
from lacnode.rpc.methods.miner import MINER_METHODS
from lacnode.rpc.methods.miner_data import MINER_DATA_METHODS
from lacnode.rpc.methods.net import NET_METHODS
from lacnode.rpc.methods.perm import PERM_METHODS
from lacnode.rpc.methods.priv import PRIV_GROUP_METHODS, PRIV_METHODS
from lacnode.rpc.methods.privacy_off import PRIVACY_OFF_METHODS
from lacnode.rpc.methods.privx import PRIVX_METHODS
from lacnode.rpc.methods.qbft import QBFT_METHODS
from lacnode.rpc.methods.simulation import SIMULATION_METHODS
from lacnode.rpc.methods.trace import TRACE_METHODS
from lacnode.rpc.methods.txpool import TXPOOL_METHODS
from lacnode.rpc.methods.txpool_content import TXPOOL_CONTENT_METHODS


def all_methods(
    *, private: GroupMode | None = None, protocols: Iterable[str] = ("ibft2", "qbft")
) -> tuple[Method, ...]:
    """Return all methods of this node, of enabled and of disabled groups. Those of filters and of subscriptions are not
    in it.

    `private` is the kind of its privacy groups, or None if privacy is off: private methods then answer that it is off.
    `protocols` are the names of the consensus protocols of its chain (`ibft1`, `ibft2`, `qbft`). KeyError for another
    one.
    """
    # Besu, too, has the methods of a protocol only on a chain of this protocol.
    groups = dict.fromkeys(_GROUP_OF_PROTOCOL.get(protocol, protocol) for protocol in protocols)
    consensus = [method for group in groups for method in _CONSENSUS[group]]
    return (
        *BLOCK_METHODS,
        *MINING_METHODS,
        *CONFIG_METHODS,
        *STATE_METHODS,
        *TRANSACTION_METHODS,
        *CALL_METHODS,
        *SIMULATION_METHODS,
        *FEE_METHODS,
        *MINER_DATA_METHODS,
        *NET_METHODS,
        *consensus,
        *TXPOOL_METHODS,
        *TXPOOL_CONTENT_METHODS,
        *ADMIN_METHODS,
        *MINER_METHODS,
        *PERM_METHODS,
        *TRACE_METHODS,
        *DEBUG_TRACE_METHODS,
        *DEBUG_STATE_METHODS,
        *DEBUG_NODE_METHODS,
        *LAC_METHODS,
        *LAC_PERMISSION_METHODS,
        *_PRIVATE[private],
    )


_CONSENSUS = {"ibft2": IBFT_METHODS, "qbft": QBFT_METHODS}

_GROUP_OF_PROTOCOL = {"ibft1": "qbft"}
"""The methods of QBFT have GoQuorum's names for reading, which tools of IBFT 1 call."""

_PRIVATE = {
    # Without privacy each private method still exists, and its error says that privacy is off.
    None: PRIVACY_OFF_METHODS,
    GroupMode.OFFCHAIN: (*EEA_METHODS, *PRIV_METHODS, *PRIV_GROUP_METHODS),
    GroupMode.FLEXIBLE: (*EEA_METHODS, *PRIV_METHODS, *PRIVX_METHODS),
}
