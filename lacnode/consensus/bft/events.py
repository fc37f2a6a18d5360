"""The events of the consensus state machine: its whole input.

The machine takes one event at a time, with the wall clock of that moment. An event that answers an effect names it:
`ProposalChecked` answers `CheckProposal`, and so on. Answers may arrive late, in any order, or never. The machine ignores
an answer that it no longer needs.
"""

from dataclasses import dataclass

from lacnode.consensus.bft.payloads import Payload, SignedPayload
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader

# -- events that the machine did not ask for -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeadChanged:
    """The local chain has a new head, by consensus or by synchronisation, or the node has just started.

    `validators` is the set after `header`, ascending (20-byte addresses), which agrees on the next height. The
    durations are those of the next height. In round 0 a block without transactions is not proposed
    before `empty_block_period_ms` after its parent. 0 means no such wait. `proposes_round_zero`: proposals have round 0 in
    their extra data if the protocol has that form, because a validator takes no other form
    (`protocol.BftProtocol.round_in_proposal`). `last_proposer` is the creator (20 bytes) of `header`, None for its
    coinbase. `follows_goquorum`: if that creator is a validator no longer, GoQuorum's rule says who proposes next.
    `proposers` are the validators in the order in which they propose, empty for the order of `validators`.
    """

    header: BlockHeader
    validators: tuple[bytes, ...]
    block_period_ms: int
    request_timeout_ms: int
    empty_block_period_ms: int = 0
    proposes_round_zero: bool = False
    last_proposer: bytes | None = None
    follows_goquorum: bool = False
    proposers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of a consensus sub-protocol: its code and its bytes without the code. `sender` is the address (20 bytes) of
    the peer that delivered it. The sender need not be the author."""

    code: int
    data: bytes
    sender: bytes


# -- answers to effects --------------------------------------------------------------------------------------------
# Timers and work carry height and round (or a digest), so that a late answer cannot be taken for a newer one.


@dataclass(frozen=True, slots=True)
class BlockTimerExpired:
    """The time of `StartBlockTimer` has come, with the same height and round."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class RoundTimerExpired:
    """The time of `StartRoundTimer` has passed, with the same height and round. The round need not be over."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """Answers `BuildBlock` with the new block. Its extra data has that round and no seals."""

    height: int
    round: int
    block: Block


@dataclass(frozen=True, slots=True)
class PoolSearched:
    """Answers `SearchPool`. `found` says whether the pool has a transaction that the next block could have."""

    height: int
    round: int
    found: bool


@dataclass(frozen=True, slots=True)
class ProposalChecked:
    """Answers `CheckProposal`. It names the same `round` and `digest` (32 bytes). `failure` is None for a valid block,
    otherwise it is the text of the broken rule.

    GoQuorum proposes a block with the same digest in every round. So the digest alone does not name the check.
    """

    round: int
    digest: bytes
    failure: str | None


@dataclass(frozen=True, slots=True)
class PayloadSigned:
    """Answers `SignPayload`: the payload is in the log on disk, and signed. From now on it may count and be sent."""

    signed: SignedPayload[Payload]


@dataclass(frozen=True, slots=True)
class SigningRefused:
    """Answers `SignPayload`: the journal refused a contradiction, or the signer did not answer. `reason` is a text for
    operators.
    """

    payload: Payload
    reason: str


@dataclass(frozen=True, slots=True)
class ImportFailed:
    """Answers `ImportBlock` if its block could not be imported. `digest` (32 bytes) is that of the effect. A success is
    reported by `HeadChanged`. `reason` is a text for operators."""

    height: int
    digest: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer with this 20-byte address is connected. If it is a validator, it may lack our messages of this round."""

    address: bytes


Event = (
    HeadChanged
    | MessageReceived
    | BlockTimerExpired
    | RoundTimerExpired
    | BlockBuilt
    | PoolSearched
    | ProposalChecked
    | PayloadSigned
    | SigningRefused
    | ImportFailed
    | PeerConnected
)
