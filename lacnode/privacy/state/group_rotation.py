"""Looks at a bounded number of groups at a time, in turn. Any stranger can make any number of groups with a node.

This module must not read the database itself.
"""

from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Generic, TypeVar

T = TypeVar("T")

AFTER_GROUP = b"\xff" * 13
"""What follows a group's id in a key that comes after all keys of the group: they have 12 more bytes."""


class GroupRotation(Generic[T]):
    """Gives the entries of many groups in portions of at most `at_most`. Each portion begins after the group in which
    the portion before ended. For one thread. `group_of` returns the id of an entry's group."""

    def __init__(self, at_most: int, group_of: Callable[[T], bytes]) -> None:
        self._at_most = at_most
        self._group_of = group_of
        self._start = b""

    def next_entries(self, read: Callable[[bytes], Iterator[T]]) -> list[T]:
        """Return the next portion: at most `at_most` entries, beginning after the group of the last entry that the
        previous call returned. After the last group it goes on with the first one. All entries are returned if they are
        fewer than `at_most`. If the last group does not fit whole, its other entries are left out until the group comes
        again.

        `read` yields the entries of all groups from a key on (empty for the lowest), in the order of the groups' ids.
        """
        found = list(islice(read(self._start), self._at_most))
        if len(found) < self._at_most and self._start:
            # The rest comes from the beginning, up to the place where this turn began.
            rest = takewhile(lambda entry: self._group_of(entry) < self._start, read(b""))
            found += islice(rest, self._at_most - len(found))
        # While all entries fit into one turn, each turn begins at the beginning.
        is_full = len(found) == self._at_most
        self._start = self._group_of(found[-1]) + AFTER_GROUP if is_full else b""
        return found
