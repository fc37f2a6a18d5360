"""The first private state of a group: empty, or with accounts (Besu's `PrivateStateGenesisAllocator`).

The accounts exist when the group's first private transaction is executed. They become a part of the state when one
succeeds. This module must not store anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lacnode.chainspec.spec import GenesisAccount
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT

State = tuple[bytes, Mapping[bytes, bytes]]
"""A state root, and the trie nodes and codes to read it."""

MAX_CACHED_STATES = 1_000
"""The largest number of first states that are kept."""


@dataclass(frozen=True, slots=True)
class PrivateGenesis:
    """The first accounts of groups: by group id (32 bytes), and `others` for all groups that are not named. Empty by
    default."""

    groups: Mapping[bytes, tuple[GenesisAccount, ...]] = field(default_factory=dict)
    others: tuple[GenesisAccount, ...] = ()

    def accounts_of(self, group_id: bytes) -> tuple[GenesisAccount, ...]:
        """Return the accounts that the group with this id (32 bytes) begins with: its own, or `others` if `groups` does
        not name it. A group that is named with no accounts begins without any."""
        return self.groups.get(group_id, self.others)


class GroupGenesis:
    """The first states of groups by `genesis`. Each also has the accounts `always`, after its own. `initial_state`
    computes the state of given accounts."""

    def __init__(
        self,
        initial_state: Callable[[Sequence[GenesisAccount]], State],
        genesis: PrivateGenesis,
        always: tuple[GenesisAccount, ...],
    ) -> None:
        self._initial_state = initial_state
        self._genesis = genesis
        self._always = always
        self._made: dict[tuple[GenesisAccount, ...], State] = {}

    def first_state(self, group_id: bytes) -> State:
        """Return the root (32 bytes) and the trie nodes of the first state of the group with this id. Without accounts
        these are the root of the empty trie and no nodes."""
        accounts = self._genesis.accounts_of(group_id) + self._always
        if not accounts:
            return EMPTY_TRIE_ROOT, {}
        # The accounts are the key, not the group: most groups have the same ones, and the state is computed once.
        if accounts not in self._made:
            if len(self._made) == MAX_CACHED_STATES:
                self._made.clear()
            self._made[accounts] = self._initial_state(accounts)
        return self._made[accounts]
