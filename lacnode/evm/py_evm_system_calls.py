"""Calls that a block makes by itself from Prague on, as blocks of Besu 25.5's IBFT 2.0 networks make them.

The first stores the parent's hash (EIP-2935), before any transaction. The others ask for withdrawal requests
(EIP-7002) and consolidation requests (EIP-7251), after all transactions. Their answers are in no header of these
networks, but they change the contracts' storage. There is no call for beacon roots (EIP-4788): headers of these
networks have none.
"""

from typing import Any

from eth.vm.message import Message
from eth_typing import Address

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import SystemCallError
from lacnode.evm.system_contracts import HISTORY_STORAGE_ADDRESS, contracts_asked_for_requests, missing_contract_error

SYSTEM_ADDRESS = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
"""The sender of system calls. It has no account."""

SYSTEM_CALL_GAS = 30_000_000
"""Gas of one system call. It does not count as the block's."""


def store_parent_hash(state: Any, fork: Fork, parent_hash: bytes) -> None:
    """Store `parent_hash` (32 bytes) in the history contract. Nothing happens before Prague, and where a network has no
    such contract. SystemCallError if the call fails."""
    if fork >= Fork.PRAGUE and state.get_code(Address(HISTORY_STORAGE_ADDRESS)):
        _call(state, HISTORY_STORAGE_ADDRESS, parent_hash)


def call_request_contracts(state: Any, fork: Fork, spec: ChainSpec) -> None:
    """Ask the contracts of the genesis for requests, from Prague on. Their answers are dropped, and their changes stay.
    SystemCallError where one is missing or its call fails: such a block is invalid."""
    # The order is EIP-7685's: withdrawals, then consolidations.
    for address in contracts_asked_for_requests(fork, spec):
        if not state.get_code(Address(address)):
            raise missing_contract_error(address)
        _call(state, address, b"")


def _call(state: Any, address: bytes, data: bytes) -> None:
    to = Address(address)
    context = state.get_transaction_context_class()(gas_price=0, origin=SYSTEM_ADDRESS)
    message = Message(SYSTEM_CALL_GAS, to, Address(SYSTEM_ADDRESS), 0, data, state.get_code(to))
    computation = state.computation_class.apply_message(state, message, context)
    state.clear_transient_storage()
    # The next transaction must find nothing warm that only the system call looked at.
    state._account_db.lock_changes()
    if computation.is_error:
        raise SystemCallError(f"the system call to 0x{address.hex()} failed: {computation.error!r}")
