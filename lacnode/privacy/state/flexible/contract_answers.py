"""Answers of groups' contracts that are known without executing the contracts again.

Every group begins with the same two contracts. While it keeps them, their answers follow from the state of the two accounts
alone. A group whose members have upgraded the contract is asked by execution each time. This module must not execute.
"""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property

from lacnode.chainspec.spec import GenesisAccount
from lacnode.evm.merkle_trie import ReadNode, lookup
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible.group_contracts import create_group_accounts
from lacnode.privacy.state.group_genesis import State
from lacnode.privacy.state.privacy_marker import MANAGEMENT_ADDRESS, PROXY_ADDRESS

MIN_BLOCK_GAS = 5_000_000
"""The gas limit of a block from which an answer of `MAX_ANSWER_BYTES` never takes more gas than the block has. Below it the
contract is executed, because an answer that takes more is no answer."""

MAX_ANSWER_BYTES = 8_192
"""The largest answer that is remembered: about 80 members."""

MAX_ANSWERS = 1_024
"""The largest number of answers that are remembered."""

_CODE_HASH_FIELD = 3
_PROXY_KEY, _MANAGEMENT_KEY = keccak256(PROXY_ADDRESS), keccak256(MANAGEMENT_ADDRESS)


class ContractAnswers:
    """The answers of flexible groups' contracts that are remembered. Safe to use from any thread. `initial_state`
    returns the root and the nodes of a state with the given accounts."""

    def __init__(self, initial_state: Callable[[Sequence[GenesisAccount]], State]) -> None:
        self._initial_state = initial_state
        self._lock = threading.Lock()
        self._answers: dict[tuple[bytes, bytes], bytes] = {}

    @cached_property
    def _first(self) -> tuple[bytes, bytes]:
        """The proxy's account in a new group, and the hash of the management contract's code."""
        root, nodes = self._initial_state(create_group_accounts())
        return lookup(root, _PROXY_KEY, nodes.get), _code_hash(lookup(root, _MANAGEMENT_KEY, nodes.get))

    def ask(
        self, root: bytes, read: ReadNode, block_gas: int, question: bytes, execute: Callable[[], bytes | None]
    ) -> bytes | None:
        """Return the contract's output for the call data `question` in the group's state `root` (32 bytes). None if the
        call fails.

        A remembered answer is returned without an execution. Otherwise `execute` asks the contract. `read` returns the
        nodes of the state by hash. `block_gas` is the gas limit of the block. The errors are those of `execute`, and
        MissingNodeError if the state is not whole.
        """
        management = self._unchanged_management(root, read) if block_gas >= MIN_BLOCK_GAS else None
        if management is None:
            return execute()
        key = management, question
        with self._lock:
            answer = self._answers.get(key)
        return self._executed(key, execute) if answer is None else answer

    def _unchanged_management(self, root: bytes, read: ReadNode) -> bytes | None:
        """Return the account of the management contract if the group has its first contracts, else None."""
        proxy, code_hash = self._first
        # The proxy's storage names the contract that it calls. An upgrade changes it, and so the account.
        if lookup(root, _PROXY_KEY, read) != proxy:
            return None
        management = lookup(root, _MANAGEMENT_KEY, read)
        return management if management and _code_hash(management) == code_hash else None

    def _executed(self, key: tuple[bytes, bytes], execute: Callable[[], bytes | None]) -> bytes | None:
        answer = execute()
        # A failure may be this block's alone, and a long answer may take more gas than a later block has.
        if answer is not None and len(answer) <= MAX_ANSWER_BYTES:
            with self._lock:
                self._answers[key] = answer
                while len(self._answers) > MAX_ANSWERS:
                    del self._answers[next(iter(self._answers))]
        return answer


def _code_hash(account: bytes) -> bytes:
    """Return the hash of the code of an encoded account."""
    return rlp.as_bytes(rlp.decode_list(account, "account")[_CODE_HASH_FIELD], "account.codeHash")
