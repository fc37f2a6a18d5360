"""GoQuorum's genesis: its keys, its defaults, its array of transitions, and what this node refuses."""

from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.chainspec.ibft_schedule import IbftParameters
from lacnode.chainspec.spec import ChainSpec

CONTRACT = "0x0000000000000000000000000000000000008888"
NO_ADDRESS = "0x" + "00" * 20
SECTION = {
    "epochlength": 30_000,
    "blockperiodseconds": 1,
    "requesttimeoutseconds": 4,
    "policy": 0,
    "ceil2Nby3Block": 0,
    "validatorcontractaddress": NO_ADDRESS,
}


def document(*steps: dict[str, Any], section: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """The genesis of a GoQuorum network with these transitions, and these keys in `qbft` and `config`."""
    qbft = {**SECTION, **(section or {})}
    return {
        "config": {
            "chainId": 1337,
            "constantinopleBlock": 0,
            "istanbulBlock": 0,
            "berlinBlock": 0,
            "isQuorum": True,
            "qbft": qbft,
            **({"transitions": list(steps)} if steps else {}),
            **config,
        },
        "difficulty": "0x1",
        "gasLimit": "0xE0000000",
        "alloc": {CONTRACT: {"balance": "0", "code": "0x00"}},
    }


def spec(*steps: dict[str, Any], section: dict[str, Any] | None = None, **config: Any) -> ChainSpec:
    return parse_genesis(document(*steps, section=section, **config))


def refusal(*steps: dict[str, Any], section: dict[str, Any] | None = None, **config: Any) -> str:
    with pytest.raises(GenesisError) as refused:
        spec(*steps, section=section, **config)
    return str(refused.value)


class TestSection:
    def test_a_genesis_of_goquorum_is_read_without_a_warning(self) -> None:
        parsed = spec(txnSizeLimit=64, maxCodeSize=50)
        assert parsed.ibft.parameters_at(1) == IbftParameters(
            block_period_ms=1000, request_timeout_ms=4000, follows_goquorum=True
        )
        assert parsed.protocols == ((0, "qbft"),)
        assert parsed.warnings == ()

    def test_what_is_missing_has_goquorums_defaults(self) -> None:
        given = document()
        given["config"]["qbft"] = {}
        assert parse_genesis(given).ibft.parameters_at(1) == IbftParameters(
            block_period_ms=5000, request_timeout_ms=10_000, epoch_length=30_000, follows_goquorum=True
        )

    def test_the_validators_of_the_section_replace_those_of_the_header(self) -> None:
        parsed = spec({"block": 7, "blockperiodseconds": 2}, section={"validators": ["0x" + "11" * 20]})
        assert parsed.ibft.validators_replaced_at(1) == (b"\x11" * 20,)

    def test_a_contract_needs_the_mode_that_goquorum_asks_for(self) -> None:
        named = {"validatorcontractaddress": CONTRACT}
        assert "validatorSelectionMode contract" in refusal(section=named)
        parsed = spec(section={**named, "validatorselectionmode": "contract"})
        assert parsed.ibft.parameters_at(1).validator_contract == bytes.fromhex(CONTRACT[2:])

    def test_petersburg_begins_with_constantinople(self) -> None:
        given = document()
        del given["config"]["istanbulBlock"], given["config"]["berlinBlock"]
        assert parse_genesis(given).forks.fork_at(0, 0) == Fork.PETERSBURG

    def test_goquorums_own_blocks_count_in_the_fork_id(self) -> None:
        parsed = spec(enableGasPriceBlock=30, eip155Block="10", qip714Block=20)
        assert parsed.forks.id_blocks == (10, 30)

    def test_a_block_may_raise_the_gas_limit_at_once_as_far_as_goquorums_nodes_do(self) -> None:
        rules, higher = spec().goquorum, spec({"block": 5, "miner.gaslimit": 900_000_000}).goquorum
        assert rules is not None
        assert higher is not None
        assert [rules.gas_limit_floor_at(height) for height in (1, 5, 6)] == [700_000_000] * 3
        # GoQuorum's nodes read the transition at the parent of the new block.
        assert [higher.gas_limit_floor_at(height) for height in (5, 6)] == [700_000_000, 900_000_000]

    def test_an_array_of_transitions_is_enough_to_be_goquorums(self) -> None:
        parsed = spec({"block": 5, "blockperiodseconds": 3}, isQuorum=False)
        assert parsed.ibft.parameters_at(5).block_period_ms == 3000
        assert parsed.may_have_gas_price_at(1)


class TestSizesAndPrices:
    def test_code_sizes_by_block(self) -> None:
        parsed = spec(maxCodeSizeConfig=[{"block": 0, "size": 32}, {"block": 10, "size": 64}])
        assert [parsed.max_contract_bytes_at(height) for height in (1, 9, 10)] == [32768, 32768, 65536]
        assert spec().max_contract_bytes_at(5) is None

    def test_the_code_size_changes_at_its_block(self) -> None:
        parsed = spec(maxCodeSize=128, maxCodeSizeChangeBlock=3)
        assert (parsed.max_contract_bytes_at(2), parsed.max_contract_bytes_at(3)) == (None, 131072)

    def test_sizes_and_gas_prices_of_transitions(self) -> None:
        parsed = spec(
            {"block": 4, "contractsizelimit": 48, "transactionSizeLimit": 100}, {"block": 6, "gasPriceEnabled": True}
        )
        assert (parsed.max_contract_bytes_at(3), parsed.max_contract_bytes_at(4)) == (None, 49152)
        rules = parsed.goquorum
        assert rules is not None
        assert (rules.max_transaction_bytes_at(3), rules.max_transaction_bytes_at(4)) == (65536, 102400)
        assert [parsed.may_have_gas_price_at(height) for height in (5, 6)] == [False, True]


class TestTransitions:
    def test_change_parameters_from_their_block_on(self) -> None:
        parsed = spec(
            {"block": 10, "blockperiodseconds": 2, "epochlength": 50, "requesttimeoutseconds": 6},
            {"block": 20, "emptyblockperiodseconds": 30, "blockReward": "0x5"},
        )
        before, between, after = (parsed.ibft.parameters_at(height) for height in (9, 10, 20))
        assert (before.block_period_ms, before.epoch_length, before.request_timeout_ms) == (1000, 30_000, 4000)
        assert (between.block_period_ms, between.epoch_length, between.request_timeout_ms) == (2000, 50, 6000)
        assert (after.block_period_ms, after.empty_block_period_ms, after.block_reward) == (2000, 30_000, 5)

    def test_a_contract_names_the_validators_from_the_next_block_on(self) -> None:
        step = {"block": 10, "validatorselectionmode": "contract", "validatorcontractaddress": CONTRACT}
        parsed = spec(step)
        assert parsed.ibft.parameters_at(10).validator_contract is None
        assert parsed.ibft.parameters_at(11).validator_contract == bytes.fromhex(CONTRACT[2:])

    def test_what_has_no_effect_is_told(self) -> None:
        parsed = spec(
            {"block": 3, "enhancedPermissioningEnabled": True, "miner.gaslimit": 800_000_000, "unheardOf": 1},
            qip714Block=0,
            londonBlock=90,
            section={"maxRequestTimeoutSeconds": 60},
        )
        text = "\n".join(parsed.warnings)
        for name in ("enhancedpermissioningenabled", "miner.gaslimit", "unheardof", "qip714block", "londonBlock"):
            assert name in text, name
        assert "maxRequestTimeoutSeconds" in text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"section": {"policy": 1}}, "qbft.policy"),
        ({"section": {"ceil2Nby3Block": 100}}, "qbft.ceil2Nby3Block"),
        ({"section": {"miningBeneficiary": CONTRACT}}, "miningBeneficiary"),
        ({"section": {"validatorselectionmode": "contract"}}, "needs validatorContractAddress"),
        ({"section": {"validatorselectionmode": "voodoo"}}, "validatorselectionmode"),
        ({"section": {"blockperiodseconds": -1}}, "blockperiodseconds"),
        ({"txnSizeLimit": 16}, "txnSizeLimit"),
        ({"maxCodeSize": 129}, "maxCodeSize"),
        ({"maxCodeSizeConfig": [{"block": 5, "size": 32}, {"block": 4, "size": 32}]}, "must ascend"),
        ({"maxCodeSizeConfig": [{"block": 5}]}, "size"),
        ({"maxCodeSizeConfig": [{"block": 5, "size": 32}], "maxCodeSize": 32}, "give one"),
        ({"chainId": 1}, "config.chainId"),
        ({"isQuorum": "yes", "transitions": [{"block": 1}]}, "isquorum"),
    ],
)
def test_what_is_refused_names_its_key(given: dict[str, Any], named: str) -> None:
    assert named in refusal(**given)


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([{"block": 5}, {"block": 4}], "block 4"),
        ([{"blockperiodseconds": 1}], "transitions.0.block"),
        ([{"block": 5, "2FPlus1Enabled": True}], "2FPlus1Enabled"),
        ([{"block": 5, "algorithm": "ibft"}], "algorithm ibft"),
        ([{"block": 5, "algorithm": "raft"}], "algorithm"),
        ([{"block": 5, "contractsizelimit": 23}], "contractSizeLimit"),
        ([{"block": 5, "transactionSizeLimit": 200}], "transactionSizeLimit"),
        ([{"block": 5, "validators": [CONTRACT]}], "validators"),
        ([{"block": 5, "validatorselectionmode": "blockheader"}], "blockheader"),
        ([{"block": 5, "validatorselectionmode": "contract"}], "come together"),
        ([{"block": 5, "validatorcontractaddress": CONTRACT}], "come together"),
        ([{"block": 5, "miningBeneficiary": CONTRACT}], "miningBeneficiary"),
        ([{"block": 5, "beneficiaryMode": "fixed"}], "miningBeneficiary"),
    ],
)
def test_a_transition_that_is_refused_names_block_and_rule(steps: list[dict[str, Any]], named: str) -> None:
    assert named in refusal(*steps)


def ibft1(name: str, section: dict[str, Any], *steps: dict[str, Any], **config: Any) -> dict[str, Any]:
    """The genesis of a GoQuorum network that begins with IBFT 1."""
    given = document(*steps, **config)
    del given["config"]["qbft"]
    given["config"][name] = section
    return given


TO_QBFT = {"block": 20, "algorithm": "qbft", "blockperiodseconds": 2}


class TestIbft1:
    @pytest.mark.parametrize(
        ("name", "section"), [("istanbul", {"epoch": 100, "policy": 0}), ("ibft", {"epochlength": 100, "policy": 1})]
    )
    def test_both_names_of_its_section(self, name: str, section: dict[str, Any]) -> None:
        parsed = parse_genesis(ibft1(name, section))
        assert parsed.protocols == ((0, "ibft1"),)
        assert parsed.warnings == ()
        # The genesis has no block period: any spacing of blocks is possible.
        assert parsed.ibft.parameters_at(1).block_period_ms < 1000
        assert (parsed.ibft.parameters_at(1).epoch_length, parsed.ibft.parameters_at(1).epoch_begins) == (100, 0)

    def test_a_transition_goes_on_with_qbft_and_with_the_parameters_of_before(self) -> None:
        section = {"epochlength": 100, "blockperiodseconds": 3, "requesttimeoutseconds": 7}
        parsed = parse_genesis(
            ibft1("ibft", section, {"block": 10, "epochlength": 50}, TO_QBFT, {"block": 30, **TIMEOUT})
        )
        assert parsed.protocols == ((0, "ibft1"), (20, "qbft"))
        assert parsed.warnings == ()
        periods = [parsed.ibft.parameters_at(height).block_period_ms for height in (1, 19, 20)]
        assert periods == [3000, 3000, 2000]
        assert [parsed.ibft.parameters_at(height).epoch_length for height in (9, 10, 20)] == [100, 50, 50]
        assert [parsed.ibft.parameters_at(height).request_timeout_ms for height in (20, 30)] == [7000, 9000]
        # GoQuorum counts epochs from block 0 in both protocols.
        assert parsed.ibft.parameters_at(25).is_epoch_block(50)

    def test_the_older_key_for_the_block_of_qbft(self) -> None:
        given = ibft1("istanbul", {"epoch": 10, "testQBFTBlock": 5, "ceil2Nby3Block": 0})
        parsed = parse_genesis(given)
        assert parsed.protocols == ((0, "ibft1"), (5, "qbft"))
        assert "no block period" in parsed.warnings[0]

    @pytest.mark.parametrize(
        ("name", "section", "steps", "named"),
        [
            ("istanbul", {}, [TO_QBFT], "istanbul.ceil2Nby3Block must be at most 20"),
            ("istanbul", {"ceil2Nby3Block": 21}, [TO_QBFT], "istanbul.ceil2Nby3Block must be at most 20"),
            ("istanbul", {"testQBFTBlock": 5, "ceil2Nby3Block": 0}, [TO_QBFT], "give one"),
            ("ibft", {}, [{"block": 0, "algorithm": "qbft"}], "name the section qbft"),
            ("ibft", {"validatorcontractaddress": CONTRACT}, [], "ibft.validatorContractAddress"),
            ("ibft", {}, [TO_QBFT, {"block": 30, "algorithm": "ibft"}], "algorithm ibft"),
        ],
    )
    def test_what_is_refused(self, name: str, section: dict[str, Any], steps: list[dict[str, Any]], named: str) -> None:
        with pytest.raises(GenesisError, match=named):
            parse_genesis(ibft1(name, section, *steps))

    def test_two_sections(self) -> None:
        with pytest.raises(GenesisError, match="config has ibft and qbft"):
            parse_genesis({**ibft1("ibft", {}), "config": {**document()["config"], "ibft": {}}})


TIMEOUT = {"requesttimeoutseconds": 9}
