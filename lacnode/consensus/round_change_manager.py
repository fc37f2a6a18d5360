"""Who wants which round (Besu's `RoundChangeManager`), bounded against those who want them all."""

from dataclasses import replace

from lacnode.consensus.ibft_messages import RoundChange
from lacnode.primitives.block import Block

MAX_ROUNDS_PER_AUTHOR = 10
"""Rounds remembered per author; the lowest is forgotten. An honest validator asks for one at a time."""


class RoundChangeManager:
    """The round changes of one height, the first of each author for each round."""

    def __init__(self) -> None:
        self._by_target: dict[int, dict[bytes, RoundChange]] = {}
        self._blocks: dict[bytes, Block] = {}
        """Prepared blocks by digest, each once: otherwise every author could make us hold ten copies of it."""

    def add(self, message: RoundChange) -> bool:
        """Keep a valid round change; False if its author asked for that round before."""
        author, target = message.signed.author, message.signed.payload.round_id.round
        asked = self._by_target.setdefault(target, {})
        if author in asked:
            return False
        asked[author] = self._with_shared_block(message)
        targets = sorted(t for t, messages in self._by_target.items() if author in messages)
        if len(targets) > MAX_ROUNDS_PER_AUTHOR:
            self._forget(author, targets[0])
        return True

    def messages(self, target: int) -> list[RoundChange]:
        """The round changes for round `target`, in the order they came."""
        return list(self._by_target.get(target, {}).values())

    def authors(self) -> dict[int, list[bytes]]:
        """Who asked for which round, for showing."""
        return {target: list(messages) for target, messages in sorted(self._by_target.items())}

    def wanted_by(self, count: int, above: int) -> int | None:
        """The highest round above `above` that at least `count` validators want to have reached, None if none is.

        A validator that asks for round 7 has given up all before it, so it counts for 5 as well.
        """
        highest: dict[bytes, int] = {}
        for target, messages in self._by_target.items():
            for author in messages:
                highest[author] = max(target, highest.get(author, 0))
        reached = sorted((target for target in highest.values() if target > above), reverse=True)
        return reached[count - 1] if len(reached) >= count else None

    def remove_below(self, target: int) -> None:
        """Rounds before `target` are history."""
        self._by_target = {kept: messages for kept, messages in self._by_target.items() if kept >= target}
        shown = {_digest(message) for messages in self._by_target.values() for message in messages.values()}
        self._blocks = {digest: block for digest, block in self._blocks.items() if digest in shown}

    def _with_shared_block(self, message: RoundChange) -> RoundChange:
        digest = _digest(message)
        if digest is None or message.block is None:
            return message
        return replace(message, block=self._blocks.setdefault(digest, message.block))

    def _forget(self, author: bytes, target: int) -> None:
        messages = self._by_target[target]
        del messages[author]
        if not messages:
            del self._by_target[target]


def _digest(message: RoundChange) -> bytes | None:
    """Of the prepared block that `message` shows, if it shows one."""
    certificate = message.signed.payload.certificate
    return None if certificate is None else certificate.proposal.payload.digest
