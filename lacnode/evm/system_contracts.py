"""Contracts that a block calls by itself from Prague on, with any engine."""

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import SystemCallError

HISTORY_STORAGE_ADDRESS = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""The contract that stores the parent's hash (EIP-2935), on a network that has it."""


def contracts_asked_for_requests(fork: Fork, spec: ChainSpec) -> tuple[bytes, ...]:
    """Return the 20-byte addresses of the contracts that a block asks for requests after its transactions, in order.
    Empty before Prague."""
    if fork < Fork.PRAGUE or spec.request_contracts is None:
        return ()
    return (spec.request_contracts.withdrawal, spec.request_contracts.consolidation)


def missing_contract_error(address: bytes) -> SystemCallError:
    """Return, and do not raise, the error of a block that asks `address` (20 bytes), where there is no contract."""
    return SystemCallError(f"the system contract 0x{address.hex()}, which Prague needs, has no code")
