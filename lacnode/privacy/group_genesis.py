"""What a group's private state begins with: nothing, or accounts (Besu's `PrivateStateGenesisAllocator`).

The accounts are there when a group's first private transaction is executed, and become part of its state when one
succeeds. Must not store anything.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from lacnode.chainspec.spec import GenesisAccount
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT

MakeState = Callable[[Sequence[GenesisAccount]], tuple[bytes, dict[bytes, bytes]]]
"""The root of a state of these accounts, and the nodes and codes that make it readable."""


class GroupGenesis:
    """Every group begins with `accounts`."""

    def __init__(self, make_state: MakeState, accounts: Sequence[GenesisAccount] = ()) -> None:
        self._make_state = make_state
        self._accounts = tuple(accounts)

    @cached_property
    def state(self) -> tuple[bytes, Mapping[bytes, bytes]]:
        """Root and nodes of a group's first state."""
        return self._make_state(self._accounts) if self._accounts else (EMPTY_TRIE_ROOT, {})
