"""Blocks that GoQuorum's validators may decide and this node would not propose: a false list, any gas limit.

Each of them must be imported. Otherwise one faulty proposer of GoQuorum stops this node for good.
"""

import pytest

from lacnode.chain.block_errors import BlockRefusedError, WrongGenesisError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.extra_data import Vote, VoteType
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from tests.support.engines import engine
from tests.support.qbft_chain import draft, goquorum_node, grow, qbft_genesis, qbft_node, sealed, with_extra
from tests.support.qbft_messages import FOUR, STRANGER, VALIDATORS, A
from tests.support.rpc_chain import RpcTestNode
from tests.support.validator_list_contract import LIST_ADDRESS, list_account

FALSE_LIST = tuple(sorted([STRANGER.address, *VALIDATORS[:2]]))
EPOCH_BLOCK = 10
BY_CONTRACT = {"validatorselectionmode": "contract", "validatorcontractaddress": to_hex(LIST_ADDRESS)}


def with_gas_limit(block: Block, limit: int) -> Block:
    return block.with_header(block.header.with_changes(gas_limit=limit))


def reopened(at: RpcTestNode) -> Blockchain:
    """The chain of `at` as a node sees it that starts on its database."""
    spec, database = at.chain.spec, at.chain.database
    return Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))


def up_to_false_epoch_block(at: RpcTestNode) -> Block:
    """Let `at` import the blocks before the epoch block, and one that lists other validators."""
    grow(at, EPOCH_BLOCK - 1)
    block = sealed(with_extra(draft(at), validators=FALSE_LIST), FOUR[:3])
    assert at.chain.import_block(block)
    return block


class TestProposals:
    @pytest.mark.parametrize("limit", [1, 5_000, 699_000_000, 2**63, 2**64 - 1])
    def test_a_gas_limit_out_of_reach_is_refused(self, limit: int) -> None:
        at = goquorum_node()
        grow(at)
        with pytest.raises(BlockRefusedError) as refused:
            at.chain.check_proposal(with_gas_limit(draft(at), limit))
        assert refused.value.rule in ("gas-limit-range", "gas-limit-delta")

    def test_a_false_list_is_refused(self) -> None:
        at = goquorum_node()
        with pytest.raises(BlockRefusedError) as refused:
            at.chain.check_proposal(with_extra(draft(at), validators=FALSE_LIST))
        assert refused.value.rule == "validators"

    def test_what_a_quorum_prepared_is_accepted(self) -> None:
        at = goquorum_node()
        at.chain.check_proposal(with_gas_limit(draft(at), 1), is_prepared=True)
        at.chain.check_proposal(with_extra(draft(at), validators=FALSE_LIST), is_prepared=True)

    def test_all_rules_stay_where_no_validator_is_of_goquorum(self) -> None:
        at = qbft_node()
        for block in (with_gas_limit(draft(at), 1), with_extra(draft(at), validators=FALSE_LIST)):
            with pytest.raises(BlockRefusedError, match=r"gas limit|extra data lists"):
                at.chain.check_proposal(block, is_prepared=True)
            with pytest.raises(BlockRefusedError, match=r"gas limit|extra data lists"):
                at.chain.import_block(sealed(block, FOUR))


@pytest.mark.usefixtures("each_engine")
class TestGasLimit:
    @pytest.mark.parametrize("limit", [0, 1, 5_000, 2**63, 2**64 - 1])
    def test_a_decided_block_may_have_any_and_the_next_proposal_is_a_good_one(self, limit: int) -> None:
        at, follower = goquorum_node(), goquorum_node()
        block = sealed(with_gas_limit(draft(at), limit), FOUR[:3])
        headers = follower.chain.new_header_chain()
        headers.verify_and_add_header(block.header)
        for node in (at, follower):
            assert node.chain.import_block(block)
        proposed = draft(at)
        follower.chain.check_proposal(proposed)
        assert proposed.header.gas_limit == max(700_000_000, limit)
        grow(at, 2)


class TestFalseLists:
    def test_the_validators_after_an_epoch_block_are_those_by_votes(self) -> None:
        at, follower = goquorum_node(), goquorum_node()
        block = up_to_false_epoch_block(at)
        assert at.chain.validators_after(block.header) == VALIDATORS
        headers = follower.chain.new_header_chain()
        for number in range(1, EPOCH_BLOCK + 1):
            header = at.chain.header_at(number)
            assert header is not None
            headers.verify_and_add_header(header)
        # The seals of this one are checked with the validators after the epoch block.
        grow(at, creator=FOUR[3])
        headers.verify_and_add_header(at.chain.head.header)

    def test_a_restart_reads_the_same_validators(self) -> None:
        at = goquorum_node()
        up_to_false_epoch_block(at)
        assert reopened(at).validators_after(at.chain.head.header) == VALIDATORS
        grow(at, 3)
        again = reopened(at)
        assert again.validators_after(at.chain.head.header) == VALIDATORS
        assert again.import_block(sealed(draft(at), FOUR[1:]))

    def test_votes_before_and_in_a_false_epoch_block_have_their_effect(self) -> None:
        at = goquorum_node()
        at.services.vote_proposer.propose(STRANGER.address, add=True)
        for creator in FOUR[:3]:
            grow(at, creator=creator)
        # All of them vote to drop it again, and the epoch block is the first that counts.
        grow(at, EPOCH_BLOCK - 4)
        vote = Vote(STRANGER.address, VoteType.DROP)
        keys = [*FOUR, STRANGER]
        for creator in FOUR[:3]:
            block = with_extra(draft(at, creator), vote=vote, validators=FALSE_LIST)
            assert at.chain.import_block(sealed(block, keys[:4]))
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS
        assert reopened(at).validators_after(at.chain.head.header) == VALIDATORS

    def test_the_api_shows_the_validators_and_not_the_list(self) -> None:
        at = goquorum_node()
        up_to_false_epoch_block(at)
        shown = at.call("qbft_getValidatorsByBlockNumber", "latest")
        assert shown == [to_hex(address) for address in VALIDATORS]

    def test_a_block_may_list_validators_although_a_contract_names_them(self) -> None:
        at = goquorum_node({LIST_ADDRESS: list_account(VALIDATORS)}, listed=(), **BY_CONTRACT)
        block = with_extra(draft(at), validators=FALSE_LIST, vote=Vote(A.address, VoteType.DROP))
        with pytest.raises(BlockRefusedError, match="a contract names them"):
            at.chain.check_proposal(block)
        assert at.chain.import_block(sealed(block, FOUR[:3]))
        assert at.chain.validators_after(at.chain.head.header) == VALIDATORS
        assert reopened(at).head.header.number == 1

    def test_a_block_of_strangers_is_refused_whatever_it_lists(self) -> None:
        at = goquorum_node()
        block = sealed(with_extra(draft(at), validators=FALSE_LIST), [STRANGER, *FOUR[:2]])
        with pytest.raises(BlockRefusedError) as refused:
            at.chain.import_block(block)
        assert refused.value.rule == "commit-seals"


def test_a_genesis_with_other_validators_below_the_head_is_refused_by_block_and_rule() -> None:
    alloc = {LIST_ADDRESS: list_account((STRANGER.address,))}
    at = goquorum_node(alloc)
    grow(at, 3)
    document = qbft_genesis(alloc, {"block": 2, **BY_CONTRACT})
    document["config"]["isQuorum"] = True
    spec, database = parse_genesis(document), at.chain.database
    with pytest.raises(WrongGenesisError, match="block 3 breaks the rule commit-seals"):
        Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))
