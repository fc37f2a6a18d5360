"""The block that a validator builds: the transactions it includes, its gas limit and its base fee."""

import time

from lacnode.chain.blockchain import ChainSettings
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.evm.rejection import RejectionReason
from tests.support.chain_genesis import ADDRESSES, GENESIS_TIME, REVERTER_ADDRESS, genesis
from tests.support.chain_network import network
from tests.support.chain_transactions import Offer, transaction


class TestBuilding:
    def test_says_what_became_of_every_candidate(self) -> None:
        net = network()
        offers = [
            Offer(transaction(0)),
            Offer(transaction(2)),
            Offer(transaction(0, b"\x02" * 20)),
            Offer(transaction(1)),
        ]
        block = net.grow(offers)
        assert [offer.verdict for offer in offers] == [
            "included",
            "skipped",
            RejectionReason.NONCE_TOO_LOW,
            "included",
        ]
        assert block.transactions == (offers[0].transaction, offers[3].transaction)

    def test_skips_what_does_not_fit_until_the_block_is_full_enough(self) -> None:
        net = network()
        offers = [
            Offer(transaction(0, gas=9_990_000)),
            Offer(transaction(1, gas=9_990_000)),
            Offer(transaction(1, gas=21_000)),
        ]
        block = net.build(offers)
        assert [offer.verdict for offer in offers] == ["included", "skipped", "included"]
        assert len(block.transactions) == 2

    def test_stops_when_nothing_fits_and_the_block_is_full_enough(self) -> None:
        net = network(settings=ChainSettings(min_occupancy_ratio=0.002))
        offers = [Offer(transaction(0)), Offer(transaction(1, gas=9_990_000)), Offer(transaction(1))]
        net.build(offers)
        assert [offer.verdict for offer in offers] == ["included", None, None]

    def test_stops_at_its_deadline(self) -> None:
        net = network()
        head = net.chain.head.header
        extra = encode_extra_data(ExtraData(bytes(32), ADDRESSES))
        offer = Offer(transaction(0))
        block = net.chain.build_block(head.timestamp + 1, ADDRESSES[0], extra, [offer], time.monotonic() - 1)
        assert not block.transactions
        assert offer.verdict is None

    def test_moves_the_gas_limit_towards_its_target(self) -> None:
        net = network(settings=ChainSettings(gas_limit_target=20_000_000))
        net.grow()
        assert net.chain.head.header.gas_limit == 10_000_000 + 10_000_000 // 1024 - 1

    def test_pays_the_base_fee_it_announced(self) -> None:
        assert network().chain.next_base_fee(GENESIS_TIME + 1) is None
        document = genesis()
        document["config"] = {**document["config"], "londonBlock": 1}  # type: ignore[dict-item]
        net = network(document)
        fee = net.chain.next_base_fee(GENESIS_TIME + 1)
        block = net.grow()
        assert block.header.base_fee == fee == 1_000_000_000
        assert block.header.gas_limit == 2 * 10_000_000
        assert net.grow().header.base_fee == fee - fee // 8

    def test_keeps_reasons_of_reverts_only_when_asked(self) -> None:
        for keep in (False, True):
            net = network(settings=ChainSettings(keep_revert_reasons=keep))
            net.grow([Offer(transaction(0, REVERTER_ADDRESS))])
            receipt_records = net.chain.receipt_records_of(net.chain.head.hash)
            assert receipt_records is not None
            assert receipt_records[0].receipt.status == 0
            assert receipt_records[0].revert_reason == (b"\0" * 31 + b"\xaa" if keep else None)
