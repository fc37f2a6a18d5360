"""The round changes of one height: which validator asks for which round (Besu's `RoundChangeManager`).

Round changes hold whole blocks. The number of rounds per author is bounded, and equal blocks are stored once.
"""

from dataclasses import replace

from lacnode.consensus.bft.messages import RoundChange
from lacnode.primitives.block import Block

MAX_ROUNDS_PER_AUTHOR = 10
"""Rounds that are stored per author. With one more, the lowest is deleted. A correct validator asks for one at a time."""


class RoundChangeManager:
    """The round changes of one height: the first one of each author for each round. Of one author at most
    `MAX_ROUNDS_PER_AUTHOR` stay, those for the highest rounds."""

    def __init__(self) -> None:
        self._by_target: dict[int, dict[bytes, RoundChange]] = {}
        self._blocks: dict[bytes, Block] = {}
        """Prepared blocks by digest. Each is stored once: otherwise each author could make this node hold ten copies."""

    def add(self, message: RoundChange) -> bool:
        """Store a valid round change. The caller has checked it. Return True, or False if its author has asked for that
        round before. Beyond `MAX_ROUNDS_PER_AUTHOR` the lowest round of the author is deleted. The result is True also
        if that is this round."""
        author, target = message.signed.author, message.signed.payload.round_id.round
        asked = self._by_target.setdefault(target, {})
        if author in asked:
            # The first one stays. An author that could replace it could show one block to us and another to others.
            return False
        asked[author] = self._with_shared_block(message)
        targets = sorted(t for t, messages in self._by_target.items() if author in messages)
        # An author may ask for any number of rounds. The lowest one is the least likely to get a quorum.
        if len(targets) > MAX_ROUNDS_PER_AUTHOR:
            self._forget(author, targets[0])
        return True

    def messages_for_round(self, target: int) -> list[RoundChange]:
        """The round changes for round `target`, in the order in which they came. Empty if there is none."""
        return list(self._by_target.get(target, {}).values())

    def highest_of_each_author(self) -> list[RoundChange]:
        """One round change of each author: the one for its highest round. Empty if there is none."""
        # Rounds ascend, so that a later one replaces an earlier one of the same author.
        ascending = (messages for _, messages in sorted(self._by_target.items()))
        last = {author: message for messages in ascending for author, message in messages.items()}
        return list(last.values())

    def authors_by_round(self) -> dict[int, list[bytes]]:
        """The authors (20-byte addresses) of the round changes by round. Rounds ascend. Authors are in the order in
        which they came.
        """
        return {target: list(messages) for target, messages in sorted(self._by_target.items())}

    def highest_round_wanted_by(self, count: int, above: int) -> int | None:
        """The highest round above `above` that at least `count` validators ask for or have passed. None if there is none.

        A validator that asks for round 7 has left all rounds before it, so it counts for round 5 as well.
        """
        highest: dict[bytes, int] = {}
        # One vote per validator: an author that asks for ten rounds must not count ten times.
        for target, messages in self._by_target.items():
            for author in messages:
                highest[author] = max(target, highest.get(author, 0))
        # In descending order the round at position `count` is reached by all validators before it.
        reached = sorted((target for target in highest.values() if target > above), reverse=True)
        return reached[count - 1] if len(reached) >= count else None

    def remove_below(self, target: int) -> None:
        """Delete the round changes for rounds before `target`."""
        self._by_target = {kept: messages for kept, messages in self._by_target.items() if kept >= target}
        # A block is deleted with the last round change that shows it. Otherwise old blocks would stay for the height.
        shown = {_digest(message) for messages in self._by_target.values() for message in messages.values()}
        self._blocks = {digest: block for digest, block in self._blocks.items() if digest in shown}

    def _with_shared_block(self, message: RoundChange) -> RoundChange:
        digest = _digest(message)
        if digest is None or message.block is None:
            return message
        # The digest covers the header, and the body was compared with the header: equal digests are equal blocks.
        return replace(message, block=self._blocks.setdefault(digest, message.block))

    def _forget(self, author: bytes, target: int) -> None:
        messages = self._by_target[target]
        del messages[author]
        if not messages:
            del self._by_target[target]


def _digest(message: RoundChange) -> bytes | None:
    """The digest of the prepared block that `message` shows, or None if it shows none."""
    certificate = message.signed.payload.certificate
    return None if certificate is None else certificate.digest
