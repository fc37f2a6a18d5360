"""The blocks and calls that the native engine leaves to py-evm.

This file has the reasons that are known before the execution. Other reasons show only while it runs (a gas price of
more than 64 bits, an account with storage and neither nonce nor code, more than 4 GiB of memory, a fault of the
library). The library reports them as a `NativeError`, and py-evm executes the block or the call from its beginning.
"""

from collections.abc import Sequence

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.base_fee import blob_base_fee
from lacnode.evm.private_markers import has_goquorum_private
from lacnode.evm.state_administration import is_administration_address
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction

STACK_WORDS = 1024
"""Words on the stack of every network but those whose genesis says otherwise."""

_UINT64 = 2**64


def reason_for_py_evm(spec: ChainSpec, header: BlockHeader) -> str | None:
    """Return why the library can execute neither the block of `header` nor calls in it, so that py-evm does, as a clause.
    None if the library can. Transactions and calls are not looked at."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    # The library makes no state root between two transactions.
    if fork < Fork.BYZANTIUM:
        return "receipts before Byzantium have state roots"
    if fork == Fork.CONSTANTINOPLE:
        return "revm has no Constantinople without Petersburg"
    if spec.evm_stack_size != STACK_WORDS:
        return f"the genesis has an evmStackSize of {spec.evm_stack_size}"
    # The library has these numbers as 64-bit integers.
    if max(spec.chain_id, header.base_fee or 0, blob_base_fee(spec, header)) >= _UINT64:
        return "the chain id or a base fee has more than 64 bits"
    return None


def is_left_to_python(transactions: Sequence[Transaction], spec: ChainSpec) -> bool:
    """Return True if py-evm must execute a block because of its `transactions`: one of them is a private transaction of
    GoQuorum, or is sent to an administration address of a devnet. The library knows neither. Reasons in the block's
    header are not checked here, but in `reason_for_py_evm`."""
    is_administered = spec.devnet is not None and any(is_administration_address(each.to, spec) for each in transactions)
    return is_administered or has_goquorum_private(transactions, spec)
