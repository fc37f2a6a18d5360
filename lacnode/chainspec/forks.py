"""Forks by block number and by timestamp, and the fork id that peers compare (EIP-2124, Besu's `ForkIdManager`)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Fork(IntEnum):
    """Protocol versions in the order of history. Those that change nothing on an IBFT 2.0 network (ice ages, the
    merge's network split) are not here; they count in the fork id only."""

    FRONTIER = 0
    HOMESTEAD = 1
    TANGERINE_WHISTLE = 2
    SPURIOUS_DRAGON = 3
    BYZANTIUM = 4
    CONSTANTINOPLE = 5
    PETERSBURG = 6
    ISTANBUL = 7
    MUIR_GLACIER = 8
    BERLIN = 9
    LONDON = 10
    PARIS = 11
    SHANGHAI = 12
    CANCUN = 13
    PRAGUE = 14


@dataclass(frozen=True, slots=True)
class ForkSchedule:
    """When each fork begins: `by_block` by block number, `by_time` by Unix timestamp, each in the order of history.

    A later fork wins over an earlier one that begins at the same place, so that a genesis may name the last one alone.
    `id_blocks` and `id_times` are the places that count in the fork id, ascending, none of them 0.
    """

    by_block: tuple[tuple[int, Fork], ...]
    by_time: tuple[tuple[int, Fork], ...]
    id_blocks: tuple[int, ...]
    id_times: tuple[int, ...]

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """The fork in force in block `number` with `timestamp`."""
        reached = Fork.FRONTIER
        for begins, fork in self.by_block:
            if begins <= number and fork > reached:
                reached = fork
        for begins, fork in self.by_time:
            if begins <= timestamp and fork > reached:
                reached = fork
        return reached

    def fork_id_at(self, genesis_hash: bytes, number: int, timestamp: int) -> "ForkId":
        """The fork id of a chain whose head is block `number` with `timestamp`."""
        passed = [place for place in self.id_blocks if place <= number]
        if len(passed) == len(self.id_blocks):
            passed += [place for place in self.id_times if place <= timestamp]
        places = (*self.id_blocks, *self.id_times)
        upcoming = places[len(passed)] if len(passed) < len(places) else 0
        return ForkId(_checksum(genesis_hash, passed), upcoming)

    def accepts(self, genesis_hash: bytes, number: int, timestamp: int, peer: "ForkId") -> bool:
        """Whether a peer with that fork id may be on the same chain as a node whose head is block `number`."""
        places = (*self.id_blocks, *self.id_times)
        if not places:
            return True
        own = [
            ForkId(_checksum(genesis_hash, places[:count]), places[count] if count < len(places) else 0)
            for count in range(len(places) + 1)
        ]
        if peer.hash not in {fork_id.hash for fork_id in own}:
            return False
        head = timestamp if self.id_times else number
        if head < places[-1]:
            return True
        known_next = any(fork_id.next == peer.next for fork_id in own) or peer.next > places[-1]
        twin = next(fork_id for fork_id in own if fork_id.hash == peer.hash)
        return known_next and (twin.next == peer.next or (twin.next == 0 and peer.next > places[-1]))


@dataclass(frozen=True, slots=True)
class ForkId:
    """Four bytes of checksum over genesis and forks passed, and where the next fork begins (0 if none is known)."""

    hash: bytes
    next: int


def _checksum(genesis_hash: bytes, passed: Sequence[int]) -> bytes:
    checksum = zlib.crc32(genesis_hash)
    for place in passed:
        checksum = zlib.crc32(place.to_bytes(8), checksum)
    return checksum.to_bytes(4)
