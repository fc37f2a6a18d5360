"""The effects of the consensus state machine: its whole output.

Effects come as a list. The validator must carry them out in that order. There is one block timer and one round timer.
Starting a timer cancels the previous one of its kind.
"""

from dataclasses import dataclass

from lacnode.consensus.bft.events import MessageReceived
from lacnode.consensus.bft.payloads import Payload, RoundId
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.primitives.block import Block

# -- timers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartBlockTimer:
    """Deliver `BlockTimerExpired(height, round)` at `due_ms` (Unix milliseconds), or at once if that time has passed."""

    height: int
    round: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class StartRoundTimer:
    """Deliver `RoundTimerExpired(height, round)` after `delay_ms` milliseconds. A long round uses several such timers."""

    height: int
    round: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class StopTimers:
    """Cancel the block timer and the round timer, because a new height begins. If this node is a validator of that
    height, later effects of the same list start its timers."""


# -- work that takes time: each answer is an event -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Build a block on the head for (height, round). `timestamp` is in Unix seconds. The answer is `BlockBuilt`. There
    is no answer if no block can be made, or if the round or the head has moved on."""

    height: int
    round: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class SearchPool:
    """Find out whether the pool has a transaction that can be in a block of (height, round) with this `timestamp` (Unix
    seconds).

    If it has one, the round does not wait for the time of an empty block. Nothing is proposed yet. The answer is
    `PoolSearched`. This answer must come also if the search fails, unless the head has moved on.
    """

    height: int
    round: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class CheckProposal:
    """Check `block`, whose committed-seal hash is `digest` (32 bytes): the header rules for proposals, the body, and
    the execution. The answer is `ProposalChecked(round, digest, ...)`.

    The block is proposed for `round`. Once that round is left, the answer is not needed any longer. `is_prepared`: a
    quorum prepared the block in an earlier round. Then the rules that only this node has are not checked, because other
    validators may not have them.
    """

    round: int
    digest: bytes
    block: Block
    is_prepared: bool = False


# -- the consensus log and signatures: log before sign, sign before send -------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordPrepared:
    """Write `prepared` to disk before carrying out the effects that follow. If that fails, carry out none of them.

    A quorum prepared this block. This validator shows it in its round changes of this height, until it sees a block
    prepared in a later round.
    """

    prepared: PreparedBlock


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """Write `draft`, our checked block for `round_id`, to disk before carrying out the effects that follow. After a crash
    the same proposal is made again, byte for byte."""

    round_id: RoundId
    draft: ProposalDraft


@dataclass(frozen=True, slots=True)
class SignPayload:
    """Write `payload` to the journal, then sign it. The answer is `PayloadSigned` or `SigningRefused`. A payload whose
    round is left while it waits for the key may have no answer."""

    payload: Payload


# -- the network, the chain and the operator -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send the message `data`, with the `code` of its sub-protocol, to every connected peer whose address (20 bytes) is
    in `recipients`. The machine does not wait for it.

    `is_relayed`: another validator signed the message. A relayed message may be dropped for a peer that is slow to read.
    """

    code: int
    data: bytes
    recipients: frozenset[bytes]
    is_relayed: bool = False


@dataclass(frozen=True, slots=True)
class ImportBlock:
    """Import the sealed block in full. The answer is `HeadChanged`, or `ImportFailed`. `digest` (32 bytes) is the
    digest that the proposal and the votes of the block name. `ImportFailed` has the same."""

    digest: bytes
    block: Block


@dataclass(frozen=True, slots=True)
class RedeliverMessage:
    """Give `message`, which came before its height began, to the machine as an event of its own."""

    message: MessageReceived


@dataclass(frozen=True, slots=True)
class ChargeTimeToAuthor:
    """The processor time of this message counts for its author (20 bytes), and not for the peer that delivered it. A
    correct validator had to relay the message."""

    author: bytes


@dataclass(frozen=True, slots=True)
class RelayIsFree:
    """The peer that delivered this message does not pay for the time that it took. A correct validator had to relay it, and
    its author has used up its share."""


@dataclass(frozen=True, slots=True)
class PeerIsAhead:
    """The peer at this address (20 bytes) sent a message of a later height. By that message the peer has at least block
    `number`, which is not verified: the author of the message is not known yet."""

    address: bytes
    number: int


@dataclass(frozen=True, slots=True)
class BlamePeer:
    """The peer at this address (20 bytes) sent a message that no correct validator sends. `fault` is one sentence.

    A peer is not blamed for relaying a message that another validator of the height signed: Besu relays messages before
    it checks them.
    """

    address: bytes
    fault: str


@dataclass(frozen=True, slots=True)
class WriteLogLine:
    """A fact for operators, such as a refused message, a round without agreement, or a contradiction.

    `topic` is a stable name (`proposal-refused`, `round-expired`, ...). `text` is one sentence. `sender` is an address
    (20 bytes) by which the lines are limited: mostly that of the peer whose message caused the line. The lines with None
    are not limited.
    """

    topic: str
    text: str
    sender: bytes | None = None


Effect = (
    StartBlockTimer
    | StartRoundTimer
    | StopTimers
    | BuildBlock
    | SearchPool
    | CheckProposal
    | RecordPrepared
    | RecordDraft
    | SignPayload
    | SendMessage
    | ImportBlock
    | RedeliverMessage
    | ChargeTimeToAuthor
    | RelayIsFree
    | PeerIsAhead
    | BlamePeer
    | WriteLogLine
)
