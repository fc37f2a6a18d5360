"""Building the block this validator proposes: its vote, its vanity, and what the pool offers.

Must not decide when to build, and must not outlast its budget: a block that is late is worth less than one that is small.
"""

import time
from collections.abc import Callable, Iterable

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.selection import Candidate
from lacnode.consensus.ballot import Ballot
from lacnode.consensus.extra_data import VANITY_SIZE, ExtraData
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.fees import next_base_fee
from lacnode.primitives.block import Block

Offer = Callable[[int | None], Iterable[Candidate]]
"""The pool's candidates in the order of inclusion, for a block with that base fee (None before London)."""


class PoolBlockMaker:
    """Builds on the head of `chain` for the validator at `address`.

    `selection_share` is the part of the block period (0 to 1) that choosing transactions may take; `vanity` is cut or
    filled with leading zeros to 32 bytes, as Besu does with `--miner-extra-data`.
    """

    def __init__(
        self,
        chain: Blockchain,
        address: bytes,
        ballot: Ballot,
        offer: Offer,
        *,
        vanity: bytes = b"",
        selection_share: float = 0.75,
    ) -> None:
        self._chain = chain
        self._address = address
        self._ballot = ballot
        self._offer = offer
        self._vanity = vanity[:VANITY_SIZE].rjust(VANITY_SIZE, b"\0")
        self._selection_share = selection_share

    def build(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> Block:
        """The block for (height, round). StaleHeight if the head has moved on meanwhile, ExecutionCancelledError when
        `budget` is cancelled."""
        head = self._chain.head
        if head.header.number + 1 != height:
            raise StaleHeight(f"block {height} was to be built, but the head is {head.header.number}")
        tally = self._chain.tally_after(head.header)
        extra = ExtraData(
            vanity=self._vanity,
            validators=tally.validators,
            vote=self._ballot.next_vote(self._address, tally),
            round=round_,
        )
        period = self._chain.spec.ibft.at(height).block_period_ms / 1000
        deadline = time.monotonic() + self._selection_share * period
        candidates = self._offer(next_base_fee(self._chain.spec, head.header, timestamp))
        return self._chain.build_block(timestamp, self._address, extra.encode(), candidates, deadline, budget)


class StaleHeight(Exception):
    """Somebody else's block came first."""
