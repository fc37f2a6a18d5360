"""The rule that says when a validator may sign after a start.

A validator has its earlier signatures in its journal. The journal cannot show that it was lost, or that the whole data
directory was replaced by an old copy. An old copy is consistent, and only the network knows more. So a validator first
connects to other validators and follows them. It signs nothing until then (docs/adr/0010-signing-after-a-start.md).

It needs `min(n - q + 1, q - 1)` other validators whose heads are not above its own. A decided block has q commits, so at
least one of those validators knows the block. Agreement needs q - 1 others in any case, so waiting for them costs nothing.

This file reads no clock and no network: the caller gives the time and the heads of peers. It must not sign or record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lacnode.consensus.bft.quorum import quorum

MAX_MEETING_MS = 10_000
"""How long a validator without a known loss waits for all the validators that it needs, once it has met some."""

MAX_PASSING_MS = 5_000
"""How long a validator without a known loss waits for blocks of the others, if it was far behind them."""

FORGOTTEN_BLOCKS = 2
"""Heights above the head at which this validator may have signed something that it has lost, once it has met the others.
q validators committed the highest block that this validator ever had. At least one of them was met, and its head is at
most one block below that block. This validator may also have signed for the block after it."""

FAR_BEHIND_BLOCKS = 2
"""Another validator's head that is this many blocks above ours may mean that our data is an old copy. Validators that
stop together differ by one block at most."""


class ResumptionStage(Enum):
    """What a validator waits for before it signs after a start. The value names it for operators."""

    MEMBERSHIP = "to be a validator"
    MEETING = "to meet others"
    FORGOTTEN = "blocks after a loss"
    PASSING = "blocks after it was far behind"


@dataclass(frozen=True, slots=True)
class NetworkObservation:
    """What a validator observes at one moment.

    `head` is the number of its own head. `validators` is the set after that head (20-byte addresses). `claimed_heads` has
    the head number that each connected peer claims, by address.
    """

    head: int
    validators: tuple[bytes, ...]
    claimed_heads: Mapping[bytes, int]


def required_other_validators(validators: int, head: int, *, is_late: bool = False) -> int:
    """How many other validators must be met before this one signs. `validators` is the size of the set, this one
    included. `head` is the number of its own head block. A validator is met if it is connected and its head is not above
    `head`.

    The result is `min(n - q + 1, q - 1)`, with n `validators` and their quorum q. While `head` is 0 it is all others,
    n - 1: validators that lost their data could otherwise form a quorum that has forgotten its decisions
    (docs/adr/0005-meet-before-block-1.md). With `is_late`, because the validator has waited `MAX_MEETING_MS`, `head` does
    not matter.
    """
    if head == 0 and not is_late:
        return validators - 1
    return min(validators - quorum(validators) + 1, quorum(validators) - 1)


class SigningResumption:
    """The state of one start of the validator `address` (20 bytes).

    `has_loss`: records of its journal are missing. `floor`: the highest height at which it must not sign for that
    reason, -1 if there is none.
    """

    def __init__(self, address: bytes, *, has_loss: bool, floor: int) -> None:
        self._address = address
        self._has_loss = has_loss
        self._floor = floor
        self._since_ms: int | None = None
        self._was_far_behind = False
        self._may_sign = False
        self._waits_until_ms: int | None = None
        self._waits_for = -1
        self.stage = ResumptionStage.MEMBERSHIP
        self.waiting_for = "it is no validator yet"
        """What must happen before this validator signs, as text for operators."""

    @property
    def may_sign(self) -> bool:
        """Whether the validator may sign. Once True, it stays True."""
        return self._may_sign

    def observe(self, observation: NetworkObservation, now_ms: int) -> int | None:
        """Update `stage`, `waiting_for` and `may_sign` by an observation at `now_ms` (monotonic milliseconds).

        Return the floor to record, once the others were met after a loss: the highest height at which this validator
        may have signed something that it has lost. Return None otherwise.
        """
        if self._may_sign or self._address not in observation.validators:
            # Once it may sign, it may sign until it stops: from then on the journal is complete.
            return None
        if self._since_ms is None:
            self._since_ms = now_ms
        # Only validators count. Any other peer could claim to be level with us, at no cost.
        others = set(observation.validators) - {self._address}
        heads = {address: head for address, head in observation.claimed_heads.items() if address in others}
        # Remembered until the validator signs: after it has caught up, the distance is no longer visible.
        self._was_far_behind |= any(head >= observation.head + FAR_BEHIND_BLOCKS for head in heads.values())
        settled: int | None = None
        if self._has_loss:
            # With a known loss there is no time limit. Signing without meeting enough others could contradict a
            # signature that is lost.
            if not self._has_met(observation, heads, now_ms):
                return None
            # The floor is set once. A later head would move it forward forever.
            settled = self._floor = observation.head + FORGOTTEN_BLOCKS
            self._has_loss = self._was_far_behind = False
        if self._floor > observation.head:
            # Blocks up to the floor have to become final by the signatures of the others.
            self._wait(ResumptionStage.FORGOTTEN, f"block {self._floor} has to be decided without this validator")
        elif self._has_met(observation, heads, now_ms):
            self._sign_after_blocks(observation.head, now_ms)
        return settled

    def _has_met(self, observation: NetworkObservation, heads: Mapping[bytes, int], now_ms: int) -> bool:
        """Whether enough others are not above our head. Without a loss, all others that were met in time are enough."""
        if self._waits_until_ms is not None:
            # The validator has met them before, and its head moves on while it waits for blocks.
            return True
        # A validator above our head may know a block that we have helped to decide. We follow it first.
        level = sum(head <= observation.head for head in heads.values())
        assert self._since_ms is not None
        # After ten seconds the rest may be down. Waiting for them would stop a network that has a quorum.
        is_late = now_ms - self._since_ms >= MAX_MEETING_MS and not self._has_loss
        needed = required_other_validators(len(observation.validators), observation.head, is_late=is_late)
        if level >= needed or (is_late and heads and level == len(heads)):
            return True
        what = f"{needed} other validators have to be met whose heads are not above {observation.head}, and {level} are"
        self._wait(ResumptionStage.MEETING, what)
        return False

    def _sign_after_blocks(self, head: int, now_ms: int) -> None:
        """Sign at once, or after some blocks or some seconds if the network was far ahead.

        A running network decides those blocks without this validator. A stopped network may need it for the next block,
        so the wait has a limit.
        """
        # The usual restart: the node was down for a short time, and its data are its own.
        if not self._was_far_behind:
            self._may_sign = True
        elif self._waits_until_ms is None:
            self._waits_until_ms, self._waits_for = now_ms + MAX_PASSING_MS, head + FORGOTTEN_BLOCKS
            what = f"the network was ahead: block {self._waits_for} or {MAX_PASSING_MS // 1000} s have to pass"
            self._wait(ResumptionStage.PASSING, what)
        else:
            self._may_sign = head >= self._waits_for or now_ms >= self._waits_until_ms

    def _wait(self, stage: ResumptionStage, what: str) -> None:
        self.stage, self.waiting_for = stage, what
