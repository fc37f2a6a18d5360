"""What a group's private state begins with: nothing, or accounts (Besu's `PrivateStateGenesisAllocator`).

The accounts are there when a group's first private transaction is executed, and become part of its state when one
succeeds. Must not store anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lacnode.chainspec.spec import GenesisAccount
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT

State = tuple[bytes, Mapping[bytes, bytes]]
"""A root, and the nodes and codes that make it readable."""

MAX_CACHED_STATES = 1_000
"""First states that are remembered."""


@dataclass(frozen=True, slots=True)
class PrivateGenesis:
    """The accounts that groups begin with: those under a group's id (32 bytes), and for all other groups `others`."""

    groups: Mapping[bytes, tuple[GenesisAccount, ...]] = field(default_factory=dict)
    others: tuple[GenesisAccount, ...] = ()

    def of(self, group_id: bytes) -> tuple[GenesisAccount, ...]:
        """The accounts of one group."""
        return self.groups.get(group_id, self.others)


class GroupGenesis:
    """The first states by `genesis`, with the accounts `always` in each, after its own."""

    def __init__(
        self,
        state_of: Callable[[Sequence[GenesisAccount]], State],
        genesis: PrivateGenesis,
        always: tuple[GenesisAccount, ...],
    ) -> None:
        self._state_of = state_of
        self._genesis = genesis
        self._always = always
        self._made: dict[tuple[GenesisAccount, ...], State] = {}

    def state(self, group_id: bytes) -> State:
        """A group's first state."""
        accounts = self._genesis.of(group_id) + self._always
        if not accounts:
            return EMPTY_TRIE_ROOT, {}
        if accounts not in self._made:
            if len(self._made) == MAX_CACHED_STATES:
                self._made.clear()
            self._made[accounts] = self._state_of(accounts)
        return self._made[accounts]
