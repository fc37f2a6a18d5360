"""What a change of the validator set would do to the network, reckoned before anybody votes for it.

Besu counts votes and asks no questions: four absent validators voted in have halted a network for good. Must not decide
whether to vote: it tells what would happen.
"""

from collections.abc import Collection
from dataclasses import dataclass

from lacnode.consensus.quorum import quorum
from lacnode.primitives.hexadecimal import to_hex


@dataclass(frozen=True, slots=True)
class ValidatorSetChange:
    """One validator more or less. `present` are the addresses that this node sees taking part, its own among them."""

    validators: tuple[bytes, ...]
    recipient: bytes
    add: bool
    present: frozenset[bytes]

    @property
    def after(self) -> tuple[bytes, ...]:
        """The set when the vote has been won."""
        members = set(self.validators)
        (members.add if self.add else members.discard)(self.recipient)
        return tuple(sorted(members))

    def warnings(self) -> list[str]:
        """Why the change is dangerous, a sentence each; empty if it is not."""
        after = self.after
        if not after:
            return ["it would leave no validator at all"]
        margin = _margin(after, self.present)
        absent = [address for address in after if address not in self.present]
        if margin >= 1 or (not absent and margin >= _margin(self.validators, self.present)):
            return []  # a small set with everybody in it stands no failure before or after
        needed, here = quorum(len(after)), len(after) - len(absent)
        missing = ", ".join(to_hex(address) for address in absent) or "nobody"
        if margin < 0:
            then = "no block would be made"
        else:
            then = "one more failure would stop the chain"
        return [
            f"afterwards {needed} of {len(after)} validators must agree and {here} are here: {then}; missing: {missing}"
        ]


def _margin(validators: Collection[bytes], present: frozenset[bytes]) -> int:
    """How many of those present may fail before there is no quorum; negative where there is none now."""
    return len(present.intersection(validators)) - quorum(len(validators))
