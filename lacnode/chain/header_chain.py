"""Headers after the head, verified one on another before their bodies are there.

A header names its validators and carries their seals, and votes are in headers: who may seal the next block follows from
headers alone, without execution. So invented headers are refused before anything else is asked of the peer that sent
them. Must not execute, store or know a peer.
"""

from collections import OrderedDict
from threading import Lock

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.validator_history import next_tally
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.consensus.vote_tally import VoteTally
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError

MAX_VERIFIED_HEADERS = 1_024
"""Verified headers that wait for their import. A header that was forgotten is verified again."""


class VerifiedHeaders:
    """Headers whose seals are verified, and the body that was found to belong to each. Safe from any thread.

    A header names its parent by hash, so the validators that had to seal it never change: the result holds for ever. It
    holds for this very header only, seals and round included.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[BlockHeader, BlockBody | None] = OrderedDict()
        self._lock = Lock()

    def add(self, header: BlockHeader) -> None:
        with self._lock:
            self._bodies.setdefault(header, None)
            if len(self._bodies) > MAX_VERIFIED_HEADERS:
                self._bodies.popitem(last=False)

    def add_body(self, block: Block) -> None:
        """The body of `block` belongs to its header. Nothing is kept for a header that is not verified."""
        with self._lock:
            if block.header in self._bodies:
                self._bodies[block.header] = block.body

    def has(self, header: BlockHeader) -> bool:
        return header in self._bodies

    def has_body(self, block: Block) -> bool:
        """Whether this very body, and not an equal one, was checked."""
        return self._bodies.get(block.header) is block.body

    def remove(self, header: BlockHeader) -> None:
        with self._lock:
            self._bodies.pop(header, None)


class VerifiedHeaderChain:
    """The headers that follow `header` (with on-chain hash `hash_`), as far as they have been taken.

    `tally` is the one after `header`. For one thread at a time.
    """

    def __init__(
        self,
        header: BlockHeader,
        hash_: bytes,
        tally: VoteTally,
        schedule: IbftSchedule,
        verifier: BlockVerifier,
        verified: VerifiedHeaders,
    ) -> None:
        self.last = header
        self.last_hash = hash_
        self._tally = tally
        self._schedule = schedule
        self._verifier = verifier
        self._verified = verified

    def add_header(self, header: BlockHeader) -> bytes:
        """Add the next header, verified with its seals; its on-chain hash. BlockRefusedError if it is not the next one."""
        try:
            hash_ = on_chain_hash(header)
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None
        self._verifier.check_sealed_header(
            header, self.last, self.last_hash, self._tally.validators, seals_known=self._verified.has(header)
        )
        self._verified.add(header)
        self._tally = next_tally(self._tally, header, self._schedule)
        self.last, self.last_hash = header, hash_
        return hash_
