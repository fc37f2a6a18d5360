"""Reads contracts at blocks of the chain, for packages that decide by them (`permissioning.contract_reader`).

This file must not cache answers. It says what an answer depends on.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterable

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.engine import CallLimitExceededError, CallRequest, CallResult, ExecutionEngine
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.transaction_validation import floor_gas, intrinsic_gas
from lacnode.permissioning.contract_reader import (
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
    NoContractError,
    StateUnavailableError,
)
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK

RULE_CALL_GAS = 10_000_000
"""The gas that a rules contract may use for one answer, if the gas limit of the block is not lower. The validity of a block
depends on the answers, so the bound must be the same on every machine. So it is gas and not time. Rules in use need some
100,000 gas."""

ORDINARY_QUESTION_BYTES = 65_536
"""The length of a question up to which `RULE_CALL_GAS` is all that it has. A longer one has the gas of its payload too."""

PAYLOAD_COPIES = 4
"""The number of copies of a long question in memory that it has gas for. Besu's contracts make one or two."""

CALLER = bytes(20)
"""The sender of every call (20 bytes), as in Besu's transaction simulator."""


class ChainContracts:
    """Calls contracts on the state after a block of one chain (`ContractReader`), with `RULE_CALL_GAS` and, for a long
    question, the gas of its payload.

    `execution_header` returns the header whose fields a contract sees, for the header of a block. Without it the
    protocols of `spec` do so: COINBASE is then the creator of the block, which in IBFT 1 is not the coinbase of its
    header.
    """

    def __init__(
        self,
        spec: ChainSpec,
        engine: ExecutionEngine,
        ancestor_hash: Callable[[int], bytes | None],
        execution_header: Callable[[BlockHeader], BlockHeader] | None = None,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._ancestor_hash = ancestor_hash
        self._execution_header = execution_header or protocols_of(spec).execution_header

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        """Call `contract` (20 bytes) on the state after `header`, from `CALLER`, with `RULE_CALL_GAS` and the gas of a
        long payload. Nothing is cached.

        `seconds` is the time limit, which may be infinite. Raises NoContractError if there is no code,
        ContractTimeoutError after the time limit or if the call needs too much memory or logs, and
        StateUnavailableError if the state cannot be read. ContractUnreadableError, the base of these three, if the call
        fails for another reason, such as a revert. With an infinite limit no memory is counted: the gas alone bounds
        the call.
        """
        try:
            # A call of an address without code succeeds with an empty answer. That must not look like a decision.
            if self._engine.accounts(header.state_root).code_hash_and_storage_root(contract)[0] == EMPTY_KECCAK:
                raise NoContractError("does not exist: there is no code at its address")
            gas = min(header.gas_limit, RULE_CALL_GAS + self._payload_gas(data, header))
            # Without a deadline gas is the only bound. The engine bounds the memory of all other calls, too, and each
            # engine counts it in its own way. Such a count must not decide whether a block is valid.
            deadline = None if seconds == math.inf else time.monotonic() + seconds
            call = CallRequest(CALLER, contract, gas, data=data, deadline=deadline)
            result = self._call(call, self._execution_header(header))
            if not result.success:
                how = "reverted" if result.halt == "reverted" else f"failed: {result.halt}"
                raise ContractUnreadableError(f"{how} after {result.gas_used:,} gas")
            return self._reading(result, header)
        except MissingNodeError as missing:
            raise StateUnavailableError(f"cannot be read: {missing}") from None
        except CallLimitExceededError:
            raise ContractTimeoutError(f"gave no answer within {seconds:g} s") from None
        except TransactionRejectedError as rejected:
            raise ContractUnreadableError(f"could not be called: {rejected}") from None

    def _call(self, call: CallRequest, header: BlockHeader) -> CallResult:
        """Return the outcome of `call` on the state after `header`. From Shanghai on its `accounts` have the coinbase of
        `header` only if the call itself looked at that account. A coinbase that the genesis chooses they always have."""
        # A contract can measure whether an account is the warm coinbase. The engine looks at the coinbase by itself, so
        # its accounts do not show whether the contract did. With the sender as the coinbase they show it: the sender is
        # warm and among the accounts anyway. If the call then looks neither at the coinbase of the block nor at the
        # block, the coinbase of the block leads to the same outcome.
        by_sender = header.with_changes(coinbase=CALLER)
        if header.coinbase != CALLER and self._warm_coinbase(by_sender) == CALLER:
            result = self._engine.call(header.state_root, by_sender, call, self._ancestor_hash)
            if not result.read_block and header.coinbase not in result.accounts:
                return result
        return self._engine.call(header.state_root, header, call, self._ancestor_hash)

    def _warm_coinbase(self, header: BlockHeader) -> bytes | None:
        """Return the account (20 bytes) that is warm in every call after `header` because COINBASE gives it (EIP-3651).
        None before Shanghai."""
        if self._spec.forks.fork_at(header.number, header.timestamp) < Fork.SHANGHAI:
            return None
        beneficiary = self._spec.ibft.parameters_at(header.number).mining_beneficiary
        return header.coinbase if beneficiary is None else beneficiary

    def _payload_gas(self, data: bytes, header: BlockHeader) -> int:
        """Return the gas that a long question costs beside the work of the rules. 0 for an ordinary one."""
        # Besu gives the gas of the block. A payload that fits into a block must not make the answer fail here and not
        # there: any permitted account could part the two by one transaction.
        if len(data) <= ORDINARY_QUESTION_BYTES:
            return 0
        fork, words = self._spec.forks.fork_at(header.number, header.timestamp), -(-len(data) // 32)
        copy = 6 * words + words * words // 512
        return max(intrinsic_gas(data, False, fork), floor_gas(data, fork)) + PAYLOAD_COPIES * copy

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        """Return a value that can only be compared. It covers the code and the storage of `accounts` (20 bytes each)
        after `header`, whether they exist, whether they have a balance and a nonce, which of them is the warm coinbase,
        the fork, and the gas limit. Raises StateUnavailableError if the state cannot be read.

        A reading with `is_lasting` that read only these accounts (`ContractReading.accounts`) gives the same output as
        long as this value stays the same.
        """
        state, addresses = self._engine.accounts(header.state_root), sorted(accounts)
        try:
            # The gas of SELFDESTRUCT depends on whether the account has a balance and whether the heir exists. A
            # contract can ask for the gas that is left.
            contracts = tuple(
                (
                    *state.code_hash_and_storage_root(address),
                    state.exists(address),
                    state.balance(address) > 0,
                    state.nonce(address) > 0,
                )
                for address in addresses
            )
        except MissingNodeError as missing:
            raise StateUnavailableError(f"cannot be read: {missing}") from None
        coinbase = self._warm_coinbase(self._execution_header(header))
        warm = coinbase if coinbase in addresses else None
        return self._spec.forks.fork_at(header.number, header.timestamp), header.gas_limit, warm, contracts

    def _reading(self, result: CallResult, header: BlockHeader) -> ContractReading:
        state = self._engine.accounts(header.state_root)
        hashes = {address: state.code_hash_and_storage_root(address)[0] for address in result.accounts}
        return ContractReading(
            output=result.output,
            accounts=result.accounts,
            code_hashes=frozenset(hash_ for hash_ in hashes.values() if hash_ != EMPTY_KECCAK),
            # An answer that used the number or the time of the block is valid for that block only.
            is_lasting=not result.read_block,
        )
