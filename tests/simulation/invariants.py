"""What must hold after every step of every simulation, watched from outside the nodes.

Written against the paper, not against the code under test: the quorum, the contradictions and the seals are reckoned
here once more.
"""

import math

from lacnode.consensus.bft.payloads import (
    CommitPayload,
    Payload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    SignedPayload,
)
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.crypto.secp256k1 import recover_address
from lacnode.primitives.block import Block


class Broken(AssertionError):
    """An invariant does not hold; the message says which and how."""


class Invariants:
    """Watches every signature and every import."""

    def __init__(self, validators: tuple[bytes, ...], byzantine: frozenset[int], protocols: ProtocolSchedule) -> None:
        self._protocols = protocols
        self._validators = validators
        self._byzantine = {validators[index] for index in byzantine}
        self._chosen: dict[int, bytes] = {}
        self._said: dict[tuple[bytes, int, int, type], bytes] = {}
        self._left: dict[tuple[bytes, int], int] = {}

    def trust_no_more(self, address: bytes) -> None:
        """From now on this validator may lie."""
        self._byzantine.add(address)

    def forget(self, address: bytes) -> None:
        """The node lost its disk: what it said before does not bind it. It counts as faulty until it caught up."""
        self._said = {key: value for key, value in self._said.items() if key[0] != address}
        self._left = {key: value for key, value in self._left.items() if key[0] != address}

    def signed(self, author: bytes, signed: SignedPayload[Payload]) -> None:
        """An honest validator never contradicts itself, whatever crashed in between."""
        if author in self._byzantine:
            return
        payload = signed.payload
        height, round_ = payload.round_id.sequence, payload.round_id.round
        if isinstance(payload, RoundChangePayload):
            self._left[author, height] = max(round_, self._left.get((author, height), 0))
            content = self._protocols.protocol_at(height).codec.encode_payload(payload)
        else:
            assert isinstance(payload, ProposalPayload | PreparePayload | CommitPayload)
            if round_ < self._left.get((author, height), 0):
                raise Broken(f"{author.hex()} signed {payload} after it had left round {round_}")
            content = payload.digest
        key = (author, height, round_, type(payload))
        if self._said.setdefault(key, content) != content:
            raise Broken(f"{author.hex()} contradicted itself at height {height}, round {round_}: {payload}")

    def sent(self, author: bytes, code: int, data: bytes) -> None:
        """One protocol at a time: an honest validator says and relays only what its height is decided by (besu#10680)."""
        if author in self._byzantine:
            return
        protocol = self._protocols.protocol_of_code(code, 0)
        height = protocol.codec.open_message(code, data).round_id.sequence
        if protocol is not self._protocols.protocol_at(height):
            raise Broken(f"{author.hex()} sent a message of {protocol.name} for height {height}")

    def imported(self, index: int, block: Block) -> None:
        """One block per height, for ever, and a quorum of its validators sealed it."""
        number, protocol = block.number, self._protocols.protocol_at(block.number)
        hash_ = protocol.block_hash(block.header)
        if self._chosen.setdefault(number, hash_) != hash_:
            raise Broken(f"node {index} has {hash_.hex()} at {number}, another has {self._chosen[number].hex()}")
        extra = protocol.decode_extra_data(block.header.extra_data)
        digest = protocol.committed_seal_hash(block.header)
        sealers = {recover_address(digest, seal) for seal in extra.seals}
        quorum = math.ceil(2 * len(extra.validators) / 3)
        if len(sealers & set(extra.validators)) < quorum:
            raise Broken(f"block {number} has {len(sealers)} seals of validators where {quorum} are needed")
