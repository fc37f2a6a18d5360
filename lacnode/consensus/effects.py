"""What the consensus state machine asks the world to do: its whole output.

Effects come as a list and must be carried out in that order. There is one block timer and one round timer; starting
one cancels its predecessor.
"""

from dataclasses import dataclass

from lacnode.consensus.ibft_payloads import Payload, RoundId
from lacnode.consensus.prepared_block import PreparedBlock
from lacnode.consensus.proposal_draft import ProposalDraft
from lacnode.primitives.block import Block


@dataclass(frozen=True, slots=True)
class StartBlockTimer:
    """Deliver `BlockTimerExpired(height, round)` at `due_ms` (Unix milliseconds); at once if that has passed."""

    height: int
    round: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class StartRoundTimer:
    """Deliver `RoundTimerExpired(height, round)` after `delay_ms` milliseconds. A long round asks for it several times."""

    height: int
    round: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class StopTimers:
    """Cancel both timers: the node has nothing to do at this height."""


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Build a block on the head for (height, round) with this timestamp in seconds, and answer with `BlockBuilt`."""

    height: int
    round: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class CheckProposal:
    """Check `block` (light header rules, execution, body) and answer with `ProposalChecked(digest, ...)`. It is proposed
    for `round`: once that round is left, the answer is of no use."""

    digest: bytes
    block: Block
    round: int


@dataclass(frozen=True, slots=True)
class RecordPrepared:
    """Make `prepared` durable before carrying out what follows: a quorum prepared this block, and only this block may
    be proposed again at its height. If that cannot be done, nothing that follows may be."""

    prepared: PreparedBlock


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """Make `draft`, a checked block of ours for `round_id`, durable before carrying out what follows: after a crash it
    is proposed again, byte for byte."""

    round_id: RoundId
    draft: ProposalDraft


@dataclass(frozen=True, slots=True)
class SignPayload:
    """Write `payload` to the journal, sign it, and answer with `PayloadSigned` or `SigningRefused`."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send the message to every connected peer whose address is in `recipients`. Never waited for."""

    code: int
    data: bytes
    recipients: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ImportBlock:
    """Import the sealed block in full; success comes back as `HeadChanged`, failure as `ImportFailed`."""

    digest: bytes
    block: Block


@dataclass(frozen=True, slots=True)
class PeerIsAhead:
    """The peer at this address speaks of heights above ours: its chain has at least block `number`."""

    address: bytes
    number: int


@dataclass(frozen=True, slots=True)
class BlamePeer:
    """The peer at this address sent what no correct validator sends: `fault` is one sentence. A validator that passes
    on what another one signed is never blamed for it, as Besu passes messages on before it checks them."""

    address: bytes
    fault: str


@dataclass(frozen=True, slots=True)
class WriteLogLine:
    """Something an operator may want explained: a message or proposal refused, a round given up, a contradiction.

    `topic` is a stable name (`proposal-refused`, `round-expired`, ...), `text` one sentence. `sender` is the address of
    the peer whose message caused the note, None if no message did: a peer can cause any number of notes.
    """

    topic: str
    text: str
    sender: bytes | None = None


Effect = (
    StartBlockTimer
    | StartRoundTimer
    | StopTimers
    | BuildBlock
    | CheckProposal
    | RecordPrepared
    | RecordDraft
    | SignPayload
    | SendMessage
    | ImportBlock
    | PeerIsAhead
    | BlamePeer
    | WriteLogLine
)
