"""The validators of a chain after votes, an epoch and a transition."""

from lacnode.consensus.bft.extra_data import Vote, VoteType
from lacnode.primitives.hexadecimal import to_hex
from tests.support.chain_genesis import ADDRESSES, STRANGER, genesis
from tests.support.chain_network import network


class TestValidators:
    def test_votes_change_the_set_when_most_agree(self) -> None:
        net = network()
        vote = Vote(STRANGER.address, VoteType.ADD)
        for address in ADDRESSES[:2]:
            net.grow(vote=vote, coinbase=address)
        assert net.chain.validators_after(net.chain.head.header) == ADDRESSES
        net.grow(vote=vote, coinbase=ADDRESSES[2])
        assert STRANGER.address in net.chain.validators_after(net.chain.head.header)
        net.grow()
        reopened = network(database=net.database)
        assert reopened.chain.validators_after(reopened.chain.head.header) == tuple(
            sorted((*ADDRESSES, STRANGER.address))
        )

    def test_an_epoch_forgets_votes_and_keeps_the_set(self) -> None:
        net = network(genesis(epochlength=3))
        vote = Vote(STRANGER.address, VoteType.ADD)
        for address in ADDRESSES[:3]:
            net.grow(vote=vote, coinbase=address)  # the third is in block 3, an epoch block
        assert net.chain.validators_after(net.chain.head.header) == ADDRESSES
        assert network(genesis(epochlength=3), net.database).chain.tally_after(net.chain.head.header).additions == {}

    def test_a_transition_replaces_the_set(self) -> None:
        validators = [to_hex(address) for address in ADDRESSES[:2]]
        document = genesis(transitions=[{"block": 3, "validators": validators}])
        net = network(document)
        net.grow()
        net.grow(vote=Vote(STRANGER.address, VoteType.ADD))
        tally = net.chain.tally_after(net.chain.head.header)
        assert tally.validators == ADDRESSES[:2]
        assert tally.additions[STRANGER.address] == frozenset({ADDRESSES[0]})
        net.grow()
        assert network(document, net.database).chain.tally_after(net.chain.head.header) == tally
