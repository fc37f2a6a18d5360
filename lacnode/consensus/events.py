"""What can happen to the consensus state machine: its whole input.

The machine takes one event at a time, with the wall clock of that moment. Events that answer an effect name it
(`ProposalChecked` answers `CheckProposal`, and so on); answers may arrive late, in any order, or never, and an answer
to a question that no longer matters is ignored.
"""

from dataclasses import dataclass

from lacnode.consensus.ibft_payloads import Payload, SignedPayload
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader


@dataclass(frozen=True, slots=True)
class HeadChanged:
    """The local chain has a new head, by consensus or by sync, or the node has just started.

    `validators` is the set after `header`, ascending: the one that agrees on the next height. The two durations are in
    force at that next height.
    """

    header: BlockHeader
    validators: tuple[bytes, ...]
    block_period_ms: int
    request_timeout_ms: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of the `IBF` sub-protocol: its code, its bytes without the code, and the address (20 bytes) of the peer
    that delivered it, which need not be its author."""

    code: int
    data: bytes
    sender: bytes


@dataclass(frozen=True, slots=True)
class BlockTimerExpired:
    """Answers `StartBlockTimer`."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class RoundTimerExpired:
    """Answers `StartRoundTimer`."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """Answers `BuildBlock`: the new block, its extra data carrying that round and no seals."""

    height: int
    round: int
    block: Block


@dataclass(frozen=True, slots=True)
class ProposalChecked:
    """Answers `CheckProposal`. `failure` is None for a valid block, otherwise the broken rule in words."""

    digest: bytes
    failure: str | None


@dataclass(frozen=True, slots=True)
class PayloadSigned:
    """Answers `SignPayload`: the message is on disk and signed; now it may be acted on and sent."""

    signed: SignedPayload[Payload]


@dataclass(frozen=True, slots=True)
class SigningRefused:
    """Answers `SignPayload`: the journal refused to contradict itself, or the signer did not answer."""

    payload: Payload
    reason: str


@dataclass(frozen=True, slots=True)
class ImportFailed:
    """Answers `ImportBlock` when the block could not be imported; success is a `HeadChanged`."""

    height: int
    digest: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer with this 20-byte address can now be reached. If it is a validator, it may have missed our RoundChange."""

    address: bytes


Event = (
    HeadChanged
    | MessageReceived
    | BlockTimerExpired
    | RoundTimerExpired
    | BlockBuilt
    | ProposalChecked
    | PayloadSigned
    | SigningRefused
    | ImportFailed
    | PeerConnected
)
