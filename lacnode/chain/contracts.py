"""Reading contracts at blocks of the chain, for rooms that decide by them (`permissioning.contract_reader`).

Must not cache answers: it only says what an answer depends on.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import CallExpired, CallRequest, CallResult, ExecutionEngine
from lacnode.evm.merkle_trie import MissingNode
from lacnode.evm.rejection import TransactionRejected
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadable, NoContract, StateUnavailable
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK

BALANCE, SELFBALANCE = 0x31, 0x47
BLOCK_OPCODES = frozenset(range(0x40, 0x4B)) | {BALANCE, SELFBALANCE}
"""Instructions that read the block or a balance: what they decide may change while code and storage do not."""

FIRST_PUSH, LAST_PUSH = 0x60, 0x7F


class ChainContracts:
    """A `ContractReader` on the states of one chain."""

    def __init__(self, spec: ChainSpec, engine: ExecutionEngine, ancestor_hash: Callable[[int], bytes | None]) -> None:
        self._spec = spec
        self._engine = engine
        self._ancestor_hash = ancestor_hash

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        """Call `contract` as Besu's transaction simulator does: from the zero address, with the head's gas limit."""
        try:
            if self._engine.accounts(header.state_root).contract(contract)[0] == EMPTY_KECCAK:
                raise NoContract("does not exist: there is no code at its address")
            call = CallRequest(to=contract, data=data, gas=header.gas_limit, deadline=time.monotonic() + seconds)
            result = self._engine.call(header.state_root, header, call, self._ancestor_hash)
            if not result.success:
                how = "reverted" if result.halt == "reverted" else f"failed: {result.halt}"
                raise ContractUnreadable(f"{how} after {result.gas_used:,} gas")
            return self._reading(result, header)
        except MissingNode as missing:
            raise StateUnavailable(f"cannot be read: {missing}") from None
        except CallExpired:
            raise ContractUnreadable(f"gave no answer within {seconds:g} s") from None
        except TransactionRejected as rejected:
            raise ContractUnreadable(f"could not be called: {rejected}") from None

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        """Code and storage of `accounts`, and the rules and gas limit they run by."""
        state = self._engine.accounts(header.state_root)
        try:
            contracts = tuple(state.contract(address) for address in sorted(accounts))
        except MissingNode as missing:
            raise StateUnavailable(f"cannot be read: {missing}") from None
        return self._spec.forks.fork_at(header.number, header.timestamp), header.gas_limit, contracts

    def _reading(self, result: CallResult, header: BlockHeader) -> ContractReading:
        state = self._engine.accounts(header.state_root)
        hashes = {address: state.contract(address)[0] for address in result.accounts}
        contracts = [address for address, hash_ in hashes.items() if hash_ != EMPTY_KECCAK]
        return ContractReading(
            output=result.output,
            accounts=result.accounts,
            codes=frozenset(hashes[address] for address in contracts),
            is_lasting=not any(_reads_block(state.code(address)) for address in contracts),
        )


@lru_cache(maxsize=256)
def _reads_block(code: bytes) -> bool:
    """Whether `code` may look at more than code and storage. It is read from its start; data after the code may look like
    such an instruction, and then the answer is taken for short-lived."""
    end = len(code) - _metadata_size(code)
    position = 0
    while position < end:
        opcode = code[position]
        if opcode in BLOCK_OPCODES:
            return True
        position += 1 + (opcode - FIRST_PUSH + 1 if FIRST_PUSH <= opcode <= LAST_PUSH else 0)
    return False


def _metadata_size(code: bytes) -> int:
    """Bytes of what the Solidity compiler appends: CBOR behind an instruction that ends execution, and its length."""
    size = int.from_bytes(code[-2:]) + 2
    if 2 < size < len(code) and code[-size] in (0xA1, 0xA2, 0xA3) and code[-size - 1] in (0x00, 0xFE):
        return size
    return 0
