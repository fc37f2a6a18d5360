"""From when a validator that has just started may sign.

What a validator signed before it stopped stands in its journal. The journal cannot tell when it was lost, nor when the
whole data directory was replaced by an old copy: then everything fits together, and only the network knows more. So a
validator first meets others and follows them, and signs nothing until then (docs/adr/0010-signing-after-a-start.md).

Needed are `min(n - q + 1, q - 1)` other validators whose heads are not above its own. Any block that was decided has q
commits, so at least one of them knows of it; and agreement needs q - 1 others anyway, so that nothing is lost by waiting.

Knows neither clock nor network: it is told the time and what peers say. Must not sign or record anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lacnode.consensus.quorum import quorum

MAX_MEETING_MS = 10_000
"""How long a validator without a known loss waits for as many others as are needed, when it has met some."""

MAX_PASSING_MS = 5_000
"""How long a validator that was far behind, without a known loss, waits for blocks to be decided without it."""

FORGOTTEN_BLOCKS = 2
"""Heights above the head, once others were met, at which something may have been signed and forgotten. Of the q validators
that committed the highest block that this validator ever had, one that was met is at most one block below it; and this
validator may have signed for the block after."""

FAR_BEHIND_BLOCKS = 2
"""A head so far below another validator's may be an old copy's. Validators that stop together differ by one block."""


class ResumptionStage(Enum):
    """What a validator that does not sign yet waits for."""

    MEMBERSHIP = "to be a validator"
    MEETING = "to meet others"
    FORGOTTEN = "blocks after a loss"
    PASSING = "blocks after it was far behind"


@dataclass(frozen=True, slots=True)
class NetworkObservation:
    """What a validator sees at one moment: its own head's number, the validators after it (20-byte addresses), and the head
    number that each connected validator claims."""

    head: int
    validators: tuple[bytes, ...]
    claimed_heads: Mapping[bytes, int]


def required_other_validators(validators: int, head: int, *, is_late: bool = False) -> int:
    """How many other validators have to be met before a validator of `validators` on block `head` signs. Before block 1,
    and unless it is late, it is all of them: validators that lost their data are a quorum without memory
    (docs/adr/0005-meet-before-block-1.md)."""
    if head == 0 and not is_late:
        return validators - 1
    return min(validators - quorum(validators) + 1, quorum(validators) - 1)


class SigningResumption:
    """One start of the validator at `address`. `has_loss` says that records of its journal are missing, `floor` up to which
    height it must not sign for that reason (-1 for none)."""

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
        """What is missing before this validator signs, in words."""

    @property
    def may_sign(self) -> bool:
        return self._may_sign

    def observe(self, observation: NetworkObservation, now_ms: int) -> int | None:
        """Take in what can be seen at `now_ms` (monotonic). After a loss, once the others were met, the floor to record: the
        highest height at which something may have been signed and forgotten. None otherwise."""
        if self._may_sign or self._address not in observation.validators:
            return None
        if self._since_ms is None:
            self._since_ms = now_ms
        others = set(observation.validators) - {self._address}
        heads = {address: head for address, head in observation.claimed_heads.items() if address in others}
        self._was_far_behind |= any(head >= observation.head + FAR_BEHIND_BLOCKS for head in heads.values())
        settled: int | None = None
        if self._has_loss:
            if not self._has_met(observation, heads, now_ms):
                return None
            settled = self._floor = observation.head + FORGOTTEN_BLOCKS
            self._has_loss = self._was_far_behind = False
        if self._floor > observation.head:
            self._wait(ResumptionStage.FORGOTTEN, f"block {self._floor} has to be decided without this validator")
        elif self._has_met(observation, heads, now_ms):
            self._sign_after_blocks(observation.head, now_ms)
        return settled

    def _has_met(self, observation: NetworkObservation, heads: Mapping[bytes, int], now_ms: int) -> bool:
        """Whether enough others are not above our head; or, without a loss, all that could be met in a while, if any."""
        if self._waits_until_ms is not None:
            return True
        level = sum(head <= observation.head for head in heads.values())
        assert self._since_ms is not None
        is_late = now_ms - self._since_ms >= MAX_MEETING_MS and not self._has_loss
        needed = required_other_validators(len(observation.validators), observation.head, is_late=is_late)
        if level >= needed or (is_late and heads and level == len(heads)):
            return True
        what = f"{needed} other validators have to be met whose heads are not above {observation.head}, and {level} are"
        self._wait(ResumptionStage.MEETING, what)
        return False

    def _sign_after_blocks(self, head: int, now_ms: int) -> None:
        """Sign at once, or, when the network turned out to be ahead, after some blocks or a while: a running network decides
        them without us, a stopped one may need us for the next."""
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
