"""The forks by block number and by timestamp, and the fork id that peers compare (EIP-2124, Besu's `ForkIdManager`)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Fork(IntEnum):
    """The protocol versions in the order of history, so `<` means earlier.

    `PARIS` only has its place in the order: no genesis of this node's networks begins it. The DAO fork, the ice ages
    apart from Muir Glacier, and the network split of the merge change nothing on these networks. They have no value
    here, and count in the fork id only.
    """

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
    """The start of each fork: `by_block` by block number, `by_time` by Unix timestamp, each in the order of history.

    Of all forks that have begun, the latest one in history counts. So a genesis may name the last fork alone. `id_blocks`
    are the block numbers and `id_times` the Unix timestamps that count in the fork id, each ascending. None of them is 0.
    """

    by_block: tuple[tuple[int, Fork], ...]
    by_time: tuple[tuple[int, Fork], ...]
    id_blocks: tuple[int, ...]
    id_times: tuple[int, ...]

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """The latest fork that has begun at block `number` with `timestamp` (Unix seconds). FRONTIER if none has."""
        # Not the last entry that has started: a genesis may list the forks in an order that is not history's.
        reached = Fork.FRONTIER
        for begins, fork in self.by_block:
            if begins <= number and fork > reached:
                reached = fork
        for begins, fork in self.by_time:
            if begins <= timestamp and fork > reached:
                reached = fork
        return reached

    def fork_id_at(self, genesis_hash: bytes, number: int, timestamp: int) -> "ForkId":
        """The fork id of a chain with the head `number` and `timestamp` (Unix seconds). `genesis_hash` has 32 bytes."""
        passed = [place for place in self.id_blocks if place <= number]
        # Forks by time come after all forks by block (EIP-6122).
        if len(passed) == len(self.id_blocks):
            passed += [place for place in self.id_times if place <= timestamp]
        places = (*self.id_blocks, *self.id_times)
        upcoming = places[len(passed)] if len(passed) < len(places) else 0
        return ForkId(_checksum(genesis_hash, passed), upcoming)

    def accepts_fork_id(self, genesis_hash: bytes, number: int, timestamp: int, peer: "ForkId") -> bool:
        """Whether a peer with the fork id `peer` may be on the same chain as a node with the head `number` and
        `timestamp` (Unix seconds). `genesis_hash` has 32 bytes.

        The rule is Besu's, which is more tolerant than EIP-2124. Always True if `id_blocks` and `id_times` are empty.
        """
        places = (*self.id_blocks, *self.id_times)
        if not places:
            return True
        own = [
            ForkId(_checksum(genesis_hash, places[:count]), places[count] if count < len(places) else 0)
            for count in range(len(places) + 1)
        ]
        if peer.hash not in {fork_id.hash for fork_id in own}:
            # The peer has passed forks that this chain does not have: another network, or other rules.
            return False
        head = timestamp if self.id_times else number
        if head < places[-1]:
            # This node has not passed its last known fork yet, so it cannot judge what comes next for the peer.
            return True
        known_next = any(fork_id.next == peer.next for fork_id in own) or peer.next > places[-1]
        # Both are past all forks that this node knows. The next fork of the peer must be known, or be in the future.
        twin = next(fork_id for fork_id in own if fork_id.hash == peer.hash)
        return known_next and (twin.next == peer.next or (twin.next == 0 and peer.next > places[-1]))


@dataclass(frozen=True, slots=True)
class ForkId:
    """A checksum (`hash`, 4 bytes) of the genesis and the passed forks, and the start of the next fork (`next`): a block
    number or Unix seconds, 0 if none is known."""

    hash: bytes
    next: int


def _checksum(genesis_hash: bytes, passed: Sequence[int]) -> bytes:
    checksum = zlib.crc32(genesis_hash)
    for place in passed:
        checksum = zlib.crc32(place.to_bytes(8), checksum)
    return checksum.to_bytes(4)
