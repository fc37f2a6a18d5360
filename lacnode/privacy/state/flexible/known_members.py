"""The members that the contracts of flexible groups have named, each at a state root of its group.

Strangers can make any number of groups with any number of members. So the number of groups and the bytes of their members
are bounded. This module must not ask a contract.
"""

from collections.abc import Container, Iterator

from lacnode.privacy.state.flexible.flexible_group import FlexibleGroup

MAX_KNOWN_GROUPS = 65_536
"""The largest number of groups whose members are remembered."""

MAX_MEMBERS_BYTES = 16_777_216
"""The largest size of the remembered members of all groups together."""

KEPT_SHARE = 0.9
"""The part of a bound that is still used after entries were dropped. Dropping is thus rare, because it sorts all entries."""

MEMBER_BYTES = 64
"""The size of a member's key in memory is about its own size and this."""


class KnownMembers:
    """The members of flexible groups as their contracts named them, within bounds of memory. `own_keys` are this node's
    public keys. For one thread at a time, except `groups`, which any thread may call meanwhile."""

    def __init__(self, own_keys: Container[bytes]) -> None:
        self._own_keys = own_keys
        self._groups: dict[bytes, tuple[bytes, FlexibleGroup]] = {}
        self._members_bytes = 0

    def state_root_when_asked(self, group_id: bytes) -> bytes | None:
        """Return the state root (32 bytes) that the group `group_id` (32 bytes) had when its contract named the known
        members. It may not be the group's present root. None if no members are known for the group."""
        known = self._groups.get(group_id)
        return None if known is None else known[0]

    def groups(self) -> list[FlexibleGroup]:
        """Return the groups whose known members are not empty, in the order of their ids. A new list."""
        # The values are copied in one step, because another thread may add some.
        known = list(self._groups.values())
        return sorted((group for _, group in known if group.members), key=lambda group: group.id)

    def own_group_ids(self) -> list[bytes]:
        """Return the ids (32 bytes each) of the groups with an own key among the members. The group that is known
        longest comes first."""
        return [group_id for group_id, (_, group) in self._groups.items() if self._is_own(group)]

    def add(self, group_id: bytes, root: bytes, members: tuple[bytes, ...]) -> None:
        """Remember the members (public keys) of a group, an empty tuple if there is no such group. `root` is its state
        root (32 bytes) before they were named. Above a bound, the members of the largest groups and the groups that are
        known longest are forgotten."""
        self._replace(group_id, root, members)
        if self._members_bytes > MAX_MEMBERS_BYTES:
            self._drop_members()
        if len(self._groups) > MAX_KNOWN_GROUPS:
            self._drop_groups()

    def remove(self, group_id: bytes) -> None:
        """Forget the members of the group `group_id` (32 bytes), which are in memory alone. No effect if none are
        known."""
        known = self._groups.pop(group_id, None)
        if known is not None:
            self._members_bytes -= _size(known[1])

    def _replace(self, group_id: bytes, root: bytes, members: tuple[bytes, ...]) -> None:
        # The place in the dictionary stays. Otherwise a group that changes often would not be known longest any more.
        known = self._groups.get(group_id)
        group = FlexibleGroup(group_id, members)
        self._members_bytes += _size(group) - (0 if known is None else _size(known[1]))
        self._groups[group_id] = root, group

    def _drop_members(self) -> None:
        """Forget the members of the largest groups. Their roots are kept, so that they are not asked in vain again."""
        for group_id, (root, group) in sorted(self._groups.items(), key=lambda entry: -_size(entry[1][1])):
            if self._members_bytes <= MAX_MEMBERS_BYTES * KEPT_SHARE:
                return
            if group.members:
                self._replace(group_id, root, ())

    def _drop_groups(self) -> None:
        """Forget the groups that are known longest. Those with an own key are the last ones."""
        excess = len(self._groups) - int(MAX_KNOWN_GROUPS * KEPT_SHARE)
        for group_id in [*self._foreign(), *self.own_group_ids()][:excess]:
            self.remove(group_id)

    def _foreign(self) -> Iterator[bytes]:
        return (group_id for group_id, (_, group) in self._groups.items() if not self._is_own(group))

    def _is_own(self, group: FlexibleGroup) -> bool:
        return any(key in self._own_keys for key in group.members)


def _size(group: FlexibleGroup) -> int:
    return sum(map(len, group.members)) + MEMBER_BYTES * len(group.members)
