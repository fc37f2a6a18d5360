"""The methods, one module a group; `all_methods` is their union."""

from lacnode.rpc.methods.admin import ADMIN_METHODS
from lacnode.rpc.methods.calls import CALL_METHODS
from lacnode.rpc.methods.eea import EEA_METHODS
from lacnode.rpc.methods.eth_blocks import BLOCK_METHODS
from lacnode.rpc.methods.eth_state import STATE_METHODS
from lacnode.rpc.methods.eth_transactions import TRANSACTION_METHODS
from lacnode.rpc.methods.fees import FEE_METHODS
from lacnode.rpc.methods.ibft import IBFT_METHODS
from lacnode.rpc.methods.lac import LAC_METHODS
from lacnode.rpc.methods.lac_permissions import LAC_PERMISSION_METHODS
from lacnode.rpc.methods.miner import MINER_METHODS
from lacnode.rpc.methods.net import NET_METHODS
from lacnode.rpc.methods.perm import PERM_METHODS
from lacnode.rpc.methods.priv import PRIV_METHODS
from lacnode.rpc.methods.privacy_off import PRIVACY_OFF_METHODS
from lacnode.rpc.methods.txpool import TXPOOL_METHODS
from lacnode.rpc.registry import Method


def all_methods(*, private: bool = False) -> tuple[Method, ...]:
    """Everything this node answers, whatever group is enabled; `private` if it has private transactions."""
    return (
        *BLOCK_METHODS,
        *STATE_METHODS,
        *TRANSACTION_METHODS,
        *CALL_METHODS,
        *FEE_METHODS,
        *NET_METHODS,
        *IBFT_METHODS,
        *TXPOOL_METHODS,
        *ADMIN_METHODS,
        *MINER_METHODS,
        *PERM_METHODS,
        *LAC_METHODS,
        *LAC_PERMISSION_METHODS,
        *((*EEA_METHODS, *PRIV_METHODS) if private else PRIVACY_OFF_METHODS),
    )
