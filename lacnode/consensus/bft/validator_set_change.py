"""The effect of a change of the validator set on the network, computed before a vote.

Besu counts votes without a warning. Four absent validators that were voted in have halted a network forever. This file
must not decide whether to vote: it says what would happen.
"""

from collections.abc import Collection
from dataclasses import dataclass

from lacnode.consensus.bft.quorum import quorum
from lacnode.primitives.hexadecimal import to_hex


@dataclass(frozen=True, slots=True)
class ValidatorSetChange:
    """The validator `recipient` (20 bytes) is added (`add` is True) or removed. `validators` are those before.
    `present` are the addresses of the validators that this node observes, and its own address."""

    validators: tuple[bytes, ...]
    recipient: bytes
    add: bool
    present: frozenset[bytes]

    @property
    def validators_after(self) -> tuple[bytes, ...]:
        """The validators that there would be if the vote passed, ascending (20-byte addresses). Nothing is changed.
        Empty if the last validator is removed."""
        members = set(self.validators)
        (members.add if self.add else members.discard)(self.recipient)
        return tuple(sorted(members))

    def warnings(self) -> list[str]:
        """The dangers of the change, one sentence each. Empty if there is none."""
        after = self.validators_after
        if not after:
            return ["it would leave no validator at all"]
        # The margin after the change counts, not the change itself: adding an absent validator raises the quorum.
        margin = _margin(after, self.present)
        absent = [address for address in after if address not in self.present]
        if margin >= 1 or (not absent and margin >= _margin(self.validators, self.present)):
            # A small set whose members are all present tolerates no failure before or after.
            return []
        needed, here = quorum(len(after)), len(after) - len(absent)
        missing = ", ".join(to_hex(address) for address in absent) or "none"
        if margin < 0:
            then = "no block would be made"
        else:
            then = "one more failure would stop the chain"
        return [
            f"afterwards {needed} of {len(after)} validators must agree and {here} are here: {then}; missing: {missing}"
        ]


def _margin(validators: Collection[bytes], present: frozenset[bytes]) -> int:
    """How many of the present validators may fail before there is no quorum. Negative if there is no quorum now."""
    return len(present.intersection(validators)) - quorum(len(validators))
