"""Whether the pool has a transaction that the next block could have, as a validator asks while another one proposes."""

from collections.abc import Iterable

import pytest

from lacnode.chain.transaction_selection import TransactionCandidate
from lacnode.consensus.bft.vote_proposer import VoteProposer
from lacnode.evm.budget import UNLIMITED
from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.transaction import Transaction
from lacnode.validator.block_creator import PoolBlockCreator, StaleHeightError
from tests.support.qbft_chain import qbft_node
from tests.support.qbft_messages import STRANGER, A, B
from tests.support.rpc_chain import RICH, RpcTestNode, signed


class Stage:
    """A validator with a pool. `offered` are the candidates that were taken from it."""

    def __init__(self, *transactions: Transaction) -> None:
        self.node: RpcTestNode = qbft_node()
        self.node.send(*transactions)
        self.votes = VoteProposer()
        self.offered: list[Transaction] = []
        self.creator = PoolBlockCreator(self.node.chain, A.address, self.votes, self.candidates)

    def candidates(self, base_fee: int | None) -> Iterable[TransactionCandidate]:
        for candidate in self.node.pool.candidates(base_fee, self.timestamp):
            self.offered.append(candidate.transaction)
            yield candidate

    @property
    def timestamp(self) -> int:
        return self.node.chain.head.header.timestamp + 1

    def has_transaction(self) -> bool:
        return self.creator.has_transaction(1, 0, self.timestamp, UNLIMITED)


def test_a_transaction_that_can_be_mined_is_found() -> None:
    assert Stage(signed(nonce=0)).has_transaction()


def test_an_empty_pool_has_none() -> None:
    assert not Stage().has_transaction()


class Junk:
    """A candidate that no block on this state can have: the nonces before its own are missing."""

    transaction, is_expected_slow = signed(nonce=5), False
    sender = RICH.address

    def __init__(self) -> None:
        self.results: list[str] = []

    def included(self) -> None:
        self.results.append("included")

    def skipped(self) -> None:
        self.results.append("skipped")

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        self.results.append("interrupted")

    def dropped(self, reason: RejectionReason) -> None:
        self.results.append("dropped")


def test_junk_is_not_found() -> None:
    """No proposer can mine it, so no round must be shortened for it."""
    stage, junk = Stage(), Junk()
    creator = PoolBlockCreator(stage.node.chain, A.address, stage.votes, lambda base_fee: [junk])
    assert not creator.has_transaction(1, 0, stage.timestamp, UNLIMITED)
    assert junk.results == ["skipped"]


def test_junk_before_a_transaction_does_not_hide_it() -> None:
    stage, junk = Stage(signed(nonce=0)), Junk()
    creator = PoolBlockCreator(
        stage.node.chain, A.address, stage.votes, lambda base_fee: [junk, *stage.candidates(base_fee)]
    )
    assert creator.has_transaction(1, 0, stage.timestamp, UNLIMITED)


def test_only_one_transaction_is_executed() -> None:
    """While this validator searches it checks no proposal."""
    stage = Stage(*(signed(nonce=nonce) for nonce in range(5)))
    assert stage.has_transaction()
    assert len(stage.offered) == 1
    block = stage.creator.build(1, 0, stage.timestamp, UNLIMITED)
    assert len(block.transactions) == 5, "the pool still has them for the block"


def test_a_search_takes_no_vote_of_the_next_block() -> None:
    stage = Stage(signed(nonce=0))
    for recipient in (STRANGER.address, B.address):
        stage.votes.propose(recipient, add=recipient == STRANGER.address)

    def vote() -> object:
        header = stage.creator.build(1, 0, stage.timestamp, UNLIMITED).header
        return stage.node.chain.protocols.extra_data(header).vote

    first = vote()
    assert vote() != first, "votes take turns"
    stage.has_transaction()
    assert vote() == first


def test_a_search_on_an_old_head_says_so() -> None:
    stage = Stage(signed(nonce=0))
    with pytest.raises(StaleHeightError):
        stage.creator.has_transaction(2, 0, stage.timestamp, UNLIMITED)
