"""Proposals on a chain: their bounds until a quorum has prepared them, and the one execution until the import."""

import pytest

from lacnode.chain import proposal_sizes
from lacnode.chain.block_errors import BlockRefusedError
from lacnode.consensus.ibft2.block_hash import on_chain_hash
from lacnode.primitives.block import Block, BlockBody
from tests.support.chain_genesis import ADDRESSES, LOGGER_ADDRESS
from tests.support.chain_network import network, sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.ibft2_blocks import with_round


class TestProposals:
    @pytest.mark.parametrize("bound", ["MAX_PROPOSAL_LOG_BYTES", "MAX_PROPOSAL_MEMORY_BYTES"])
    def test_a_proposal_has_bounds_on_memory_and_logs_until_a_quorum_has_prepared_it(
        self, bound: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        block = network().build([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))])
        checking, importing = network(), network()
        checking.chain.check_proposal(block)
        monkeypatch.setattr(proposal_sizes, bound, 20)
        checking = network()
        with pytest.raises(BlockRefusedError, match="more than 20 bytes") as refused:
            checking.chain.check_proposal(block)
        assert refused.value.rule == "proposal-size"
        checking.chain.check_proposal(block, is_prepared=True)
        for each in (checking, importing):
            assert each.chain.import_block(sealed(block, each.chain))

    def test_the_bounds_on_proposals_end_when_more_proposers_than_may_be_faulty_are_beyond_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a network with validators of Besu, which has no such bounds: their pools keep the transaction."""
        offers = [Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))]
        blocks = [network().build(offers, coinbase=each) for each in ADDRESSES]
        monkeypatch.setattr(proposal_sizes, "MAX_PROPOSAL_LOG_BYTES", 20)
        checking = network()
        # One of four may be faulty, as often as it likes.
        for proposed in (blocks[0], blocks[0], blocks[0], blocks[1]):
            with pytest.raises(BlockRefusedError, match="more than 20 bytes"):
                checking.chain.check_proposal(proposed)
        for proposed in blocks:
            checking.chain.check_proposal(proposed)

    def test_a_proposal_is_executed_once_until_it_is_imported(self) -> None:
        proposer, other = network(), network()
        block = proposer.build([Offer(transaction(0))])
        other.chain.check_proposal(block)
        other.chain.check_proposal(with_round(block, 3))
        assert other.chain.head.header.number == 0
        assert other.chain.block_of(on_chain_hash(block.header)) is None
        final = sealed(with_round(block, 3), other.chain)
        assert other.chain.import_block(final)
        assert other.engine.executions == 1
        assert proposer.chain.import_block(final)
        assert proposer.engine.executions == 0
        assert other.chain.head == proposer.chain.head

    def test_a_kept_execution_serves_only_the_same_transactions(self) -> None:
        net = network()
        block = net.build([Offer(transaction(0))])
        swapped = Block(sealed(block, net.chain).header, BlockBody((transaction(0, b"\x05" * 20),)))
        with pytest.raises(BlockRefusedError) as refused:
            net.chain.import_block(swapped)
        assert refused.value.rule == "transactions-root"
