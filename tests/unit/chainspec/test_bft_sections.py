"""The sections `qbft` and `transitions.qbft` of a genesis, and the contradictions that they can hold."""

from typing import Any

import pytest

from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.chainspec.ibft_schedule import IbftParameters
from lacnode.chainspec.spec import ChainSpec

CONTRACT = "0x0000000000000000000000000000000000008888"
VALIDATORS = ["0x" + "22" * 20, "0x" + "11" * 20]
ASCENDING = (b"\x11" * 20, b"\x22" * 20)


def document(alloc: dict[str, Any] | None = None, /, **config: Any) -> dict[str, Any]:
    """A small genesis with these keys in `config`."""
    return {
        "config": {"chainId": 7, "berlinBlock": 0, **config},
        "difficulty": "0x1",
        "gasLimit": "0x14DC9380",
        "alloc": alloc or {},
    }


def spec(alloc: dict[str, Any] | None = None, /, **config: Any) -> ChainSpec:
    return parse_genesis(document(alloc, **config))


def refusal(**config: Any) -> str:
    with pytest.raises(GenesisError) as refused:
        parse_genesis(document(**config))
    return str(refused.value)


def qbft(*steps: dict[str, Any], **section: Any) -> dict[str, Any]:
    """A section `qbft` with these transitions."""
    return {"qbft": section, "transitions": {"qbft": list(steps)}}


class TestQbftSection:
    def test_has_besus_defaults_and_names_the_protocol_from_block_0(self) -> None:
        parsed = spec(qbft={})
        assert parsed.ibft.parameters_at(1) == IbftParameters()
        assert parsed.protocols == ((0, "qbft"),)
        assert parsed.warnings == ()

    def test_reads_every_key_in_any_case(self) -> None:
        section = {
            "epochLength": 100,
            "blockPeriodSeconds": 2,
            "XEmptyBlockPeriodSeconds": 60,
            "requestTimeoutSeconds": 8,
            "gossipedHistoryLimit": 11,
            "messageQueueLimit": 12,
            "duplicateMessageLimit": 13,
            "futureMessagesLimit": 14,
            "futureMessagesMaxDistance": 15,
            "miningBeneficiary": VALIDATORS[0],
            "blockReward": "0x10",
            "validatorContractAddress": CONTRACT,
        }
        parsed = spec({CONTRACT: {"balance": "0", "code": "0x00"}}, qbft=section)
        assert parsed.ibft.parameters_at(7) == IbftParameters(
            block_period_ms=2000,
            empty_block_period_ms=60_000,
            request_timeout_ms=8000,
            epoch_length=100,
            block_reward=16,
            mining_beneficiary=ASCENDING[1],
            validator_contract=bytes.fromhex(CONTRACT[2:]),
            gossiped_history_limit=11,
            message_queue_limit=12,
            duplicate_message_limit=13,
            future_messages_limit=14,
            future_messages_max_distance=15,
        )
        assert parsed.warnings == ()

    def test_the_period_of_empty_blocks_has_goquorums_name_too(self) -> None:
        assert spec(qbft={"emptyblockperiodseconds": 30}).ibft.parameters_at(1).empty_block_period_ms == 30_000

    def test_two_different_periods_of_empty_blocks_are_refused(self) -> None:
        assert "the same; give one" in refusal(qbft={"emptyblockperiodseconds": 30, "xemptyblockperiodseconds": 31})

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("epochlength", 0),
            ("validatorcontractaddress", "0x12"),
            ("xemptyblockperiodseconds", -1),
            ("startblock", "x"),
        ],
    )
    def test_what_is_wrong_is_named(self, key: str, value: object) -> None:
        assert f"config.qbft.{key}" in refusal(qbft={key: value})

    def test_a_contract_without_code_is_refused(self) -> None:
        """No block could ever be made: the validators of block 1 come from that contract."""
        text = refusal(qbft={"validatorcontractaddress": CONTRACT})
        assert "alloc has no code" in text
        assert CONTRACT in text


class TestTransitions:
    def test_validators_go_from_headers_to_a_contract_and_back(self) -> None:
        to_contract = {"block": 10, "validatorSelectionMode": "contract", "validatorContractAddress": CONTRACT}
        back = {"block": 20, "validatorSelectionMode": "BlockHeader", "validators": VALIDATORS}
        schedule = spec(**qbft(back, to_contract)).ibft
        assert [schedule.parameters_at(height).validator_contract for height in (9, 10, 19, 20)] == [
            None,
            bytes.fromhex(CONTRACT[2:]),
            bytes.fromhex(CONTRACT[2:]),
            None,
        ]
        assert schedule.validators_replaced_at(10) is None
        assert schedule.validators_replaced_at(20) == ASCENDING

    def test_a_contract_can_be_replaced_by_another(self) -> None:
        step = {"block": 10, "validatorselectionmode": "contract", "validatorcontractaddress": VALIDATORS[0]}
        alloc = {CONTRACT: {"balance": "0", "code": "0x00"}}
        schedule = spec(alloc, **qbft(step, validatorcontractaddress=CONTRACT)).ibft
        assert schedule.parameters_at(9).validator_contract == bytes.fromhex(CONTRACT[2:])
        assert schedule.parameters_at(10).validator_contract == ASCENDING[1]

    def test_what_a_transition_does_not_mention_stays(self) -> None:
        schedule = spec(**qbft({"block": 5, "xemptyblockperiodseconds": 9}, {"block": 7, "blockreward": "3"})).ibft
        assert schedule.parameters_at(7) == IbftParameters(empty_block_period_ms=9000, block_reward=3)

    @pytest.mark.parametrize(
        ("step", "text"),
        [
            ({"block": 5, "validatorselectionmode": "contract"}, "(block 5): validatorSelectionMode contract needs"),
            (
                {"block": 5, "validatorselectionmode": "blockheader"},
                "(block 5): validatorSelectionMode blockheader needs",
            ),
            ({"block": 5, "validatorselectionmode": "lottery"}, "config.transitions.qbft.0.validatorselectionmode"),
            ({"block": 0}, "config.transitions.qbft.0.block"),
            ({}, "config.transitions.qbft.0.block"),
            ({"block": 5, "validators": []}, "config.transitions.qbft.0.validators"),
        ],
    )
    def test_a_contradiction_names_the_block_and_the_key(self, step: dict[str, Any], text: str) -> None:
        assert text in refusal(**qbft(step))

    def test_two_transitions_for_one_block_are_refused(self) -> None:
        assert "two transitions for block 5" in refusal(**qbft({"block": 5}, {"block": 5}))

    def test_keys_without_effect_are_warned_of(self) -> None:
        steps = [
            {"block": 5, "validatorcontractaddress": CONTRACT},
            {"block": 6, "validatorselectionmode": "contract", "validatorcontractaddress": CONTRACT},
            {"block": 7, "validators": VALIDATORS},
        ]
        parsed = spec(**qbft(*steps))
        assert any("(block 5): validatorContractAddress has no effect" in warning for warning in parsed.warnings)
        assert any("(block 7): validators has no effect" in warning for warning in parsed.warnings)
        assert parsed.ibft.validators_replaced_at(7) is None

    def test_transitions_of_the_other_protocol_are_warned_of(self) -> None:
        parsed = spec(qbft={}, transitions={"ibft2": [{"block": 5, "blockperiodseconds": 9}]})
        assert parsed.ibft.parameters_at(5).block_period_ms == 1000
        assert any("config.transitions.ibft2 has no effect" in warning for warning in parsed.warnings)


class TestFromIbft2ToQbft:
    def test_the_parameters_of_each_hold_at_its_own_blocks(self) -> None:
        parsed = spec(
            ibft2={"blockperiodseconds": 2},
            qbft={"blockperiodseconds": 5, "startBlock": 100},
            transitions={
                "ibft2": [{"block": 50, "blockperiodseconds": 3}, {"block": 150, "blockperiodseconds": 9}],
                "qbft": [{"block": 100, "blockreward": "1"}, {"block": 200, "blockperiodseconds": 7}],
            },
        )
        assert parsed.protocols == ((0, "ibft2"), (100, "qbft"))
        periods = [parsed.ibft.parameters_at(height).block_period_ms for height in (49, 50, 99, 100, 150, 199, 200)]
        assert periods == [2000, 3000, 3000, 5000, 5000, 5000, 7000]
        assert parsed.ibft.parameters_at(100).block_reward == 1
        assert any("(block 150) has no effect" in warning for warning in parsed.warnings)

    @pytest.mark.parametrize("section", [{}, {"startblock": 0}])
    def test_both_sections_without_a_start_are_refused(self, section: dict[str, Any]) -> None:
        assert "config.qbft.startBlock must name" in refusal(ibft2={}, qbft=section)

    def test_a_start_without_blocks_before_it_is_refused(self) -> None:
        assert "no other section says who makes the blocks before" in refusal(qbft={"startblock": 5})

    def test_a_transition_before_the_start_is_refused(self) -> None:
        text = refusal(ibft2={}, qbft={"startblock": 100}, transitions={"qbft": [{"block": 99}]})
        assert text == "config.transitions.qbft: block 99 is before config.qbft.startBlock (100)"


def test_a_genesis_of_the_form_that_rbb_publishes_is_read_without_a_warning() -> None:
    parsed = parse_genesis(
        {
            "config": {
                "chainId": 12120014,
                "constantinopleFixBlock": 0,
                "berlinBlock": 0,
                "contractSizeLimit": 2147483647,
                "qbft": {"blockperiodseconds": 4, "epochlength": 30000, "requesttimeoutseconds": 8},
                "discovery": {"bootnodes": []},
            },
            "nonce": "0x0",
            "gasLimit": "0xF42400",
            "difficulty": "0x1",
            "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
            "coinbase": "0x0000000000000000000000000000000000000000",
            "alloc": {CONTRACT: {"comment": "rules", "balance": "0", "code": "00", "storage": {"0x04": "0x0f4240"}}},
            "extraData": "0xf83aa0" + "00" * 32 + "d594" + "11" * 20 + "c080c0",
            "timestamp": "0x65dca409",
        }
    )
    assert parsed.protocols == ((0, "qbft"),)
    assert parsed.ibft.parameters_at(1) == IbftParameters(block_period_ms=4000, request_timeout_ms=8000)
    assert parsed.warnings == ()
