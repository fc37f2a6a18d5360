"""Headers above the head, verified one after the other before their bodies are here.

A header names its validators and has their seals, and votes are in headers. So the validators of the next block follow from
headers alone, without execution. Invented headers are refused before their peer is asked for anything else.

If a contract names the validators, only those of the block after the head are known. The seals of later headers are verified
when their block is imported. This file must not execute or store blocks, and must not know peers.
"""

from collections import OrderedDict
from threading import Lock

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.validator_history import next_tally
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError

MAX_VERIFIED_HEADERS = 1_024
"""Verified headers that wait for their import. A header that was forgotten is verified again."""


class VerifiedHeaders:
    """Headers with verified seals, each with its body once that was checked. At most `MAX_VERIFIED_HEADERS`: the oldest
    is forgotten. Safe from any thread.

    A header names its parent by hash, so its validators never change, and a verified header stays verified. The same
    header with other seals or another round is another header here.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[BlockHeader, BlockBody | None] = OrderedDict()
        self._lock = Lock()

    def add(self, header: BlockHeader) -> None:
        """Remember that the caller has verified the seals of `header`. Nothing is verified here."""
        with self._lock:
            self._bodies.setdefault(header, None)
            if len(self._bodies) > MAX_VERIFIED_HEADERS:
                self._bodies.popitem(last=False)

    def add_body(self, block: Block) -> None:
        """Remember that the caller has checked the body of `block` against its header. Ignored if the header is not
        verified."""
        # Without this rule a peer could fill the memory with bodies of invented headers.
        with self._lock:
            if block.header in self._bodies:
                self._bodies[block.header] = block.body

    def has(self, header: BlockHeader) -> bool:
        """Whether exactly this header, with its seals and its round, was verified and is not forgotten yet."""
        return header in self._bodies

    def has_body(self, block: Block) -> bool:
        """Whether exactly this body object was checked, for a header that is not forgotten yet. An equal body does not
        count."""
        # Comparing objects is cheap. Comparing megabytes of transactions costs as much as the check.
        return self._bodies.get(block.header) is block.body

    def remove_up_to(self, number: int) -> None:
        """Forget all headers with this block number or a lower one, and their bodies."""
        # Several forms of one block arrive: each validator collects the seals of other validators. Only one form is
        # imported. The other forms would stay with their bodies, and blocks of a megabyte would fill the memory.
        with self._lock:
            for header in [header for header in self._bodies if header.number <= number]:
                del self._bodies[header]


class VerifiedHeaderChain:
    """The headers after `header` that were added so far. `last` is the newest one, and `last_hash` its on-chain hash
    (32 bytes). At first they are `header` and `hash_`.

    `tally` has the validators of the block after `header`, and the open votes. None if these validators are unknown.
    Use the object from one thread at a time.
    """

    def __init__(
        self,
        header: BlockHeader,
        hash_: bytes,
        tally: VoteTally | None,
        schedule: IbftSchedule,
        protocols: ProtocolSchedule,
        verifier: BlockVerifier,
        verified: VerifiedHeaders,
    ) -> None:
        self.last = header
        self.last_hash = hash_
        self._tally = tally
        self._schedule = schedule
        self._protocols = protocols
        self._verifier = verifier
        self._verified = verified

    def verify_and_add_header(self, header: BlockHeader) -> bytes:
        """Add the next header, verified with its seals if its validators are known. Return its on-chain hash (32
        bytes). Nothing is stored.

        Raises BlockRefusedError if it breaks a rule or does not follow the last one. It is not added then.
        """
        try:
            hash_ = self._protocols.block_hash(header)
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None
        self._check_next(header)
        # The votes of this header count for the next one, so the tally moves on before that one comes.
        self._tally = next_tally(self._tally, header, self._schedule, self._protocols)
        self.last, self.last_hash = header, hash_
        return hash_

    def _check_next(self, header: BlockHeader) -> None:
        if self._tally is None:
            # Not added to the verified headers: the import checks coinbase and seals by the contract's answer.
            self._verifier.check_header_of_unknown_validators(header, self.last, self.last_hash)
            return
        self._verifier.check_sealed_header(
            header, self.last, self.last_hash, self._tally.validators, seals_verified=self._verified.has(header)
        )
        self._verified.add(header)
