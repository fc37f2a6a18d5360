"""The genesis of a devnet has the rules that `--fork` names, and the accounts that tools expect."""

import json
import tomllib
from pathlib import Path

import pytest
from eth_account import Account

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.genesis import parse_genesis
from lacnode.devnet.accounts import TEST_MNEMONIC, funded_accounts, mnemonic_accounts
from lacnode.devnet.devnet_genesis import DEFAULT_FORK, DEVNET_FORKS, LACCHAIN_CODE_SIZE_BYTES, devnet_genesis
from lacnode.devnet.manifest import (
    DevnetError,
    NetworkShape,
    check_network,
    load_manifest,
    make_devnet,
    qbft_start_block,
)

VALIDATOR = bytes(19) + b"\1"


@pytest.mark.parametrize("name", DEVNET_FORKS)
def test_the_named_fork_is_active_from_block_1(name: str) -> None:
    spec = parse_genesis(devnet_genesis([VALIDATOR], (), 1.0, 1, name))
    wanted = Fork.BERLIN if name == "lacchain" else Fork[name.upper()]
    assert spec.forks.fork_at(1, 2) == wanted
    assert spec.warnings == ()


def test_modern_forks_have_no_base_fee() -> None:
    spec = parse_genesis(devnet_genesis([VALIDATOR], (), 1.0, 1, DEFAULT_FORK))
    assert spec.zero_base_fee
    assert spec.genesis.base_fee == 0


def test_only_lacchain_has_long_contracts() -> None:
    limits = {
        name: parse_genesis(devnet_genesis([VALIDATOR], (), 1.0, 1, name)).contract_size_limit for name in DEVNET_FORKS
    }
    assert limits.pop("lacchain") == LACCHAIN_CODE_SIZE_BYTES
    assert set(limits.values()) == {None}


def test_the_mnemonic_gives_its_accounts() -> None:
    Account.enable_unaudited_hdwallet_features()
    for index, account in enumerate(mnemonic_accounts()):
        derived = Account.from_mnemonic(TEST_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        assert account.address == derived.address.lower()
        assert account.private_key == "0x" + derived.key.hex().removeprefix("0x")


def test_a_devnet_on_disk_keeps_its_fork_and_funds_both_kinds_of_accounts(tmp_path: Path) -> None:
    make_devnet(tmp_path / "net", NetworkShape(1, fork="london"), 1.0, 0)
    manifest = load_manifest(tmp_path / "net")
    assert manifest is not None
    assert manifest.fork == "london"
    assert manifest.accounts == (*funded_accounts(), *mnemonic_accounts())


def test_a_block_of_prague_finds_the_contracts_that_it_calls() -> None:
    spec = parse_genesis(devnet_genesis([VALIDATOR], (), 1.0, 1, "prague"))
    assert spec.request_contracts is not None
    code = {account.address: account.code for account in spec.genesis.alloc}
    assert code[spec.request_contracts.withdrawal]
    assert code[spec.request_contracts.consolidation]


def test_a_devnet_goes_from_ibft2_to_qbft_at_a_block_and_answers_by_both_names(tmp_path: Path) -> None:
    made = make_devnet(tmp_path / "net", NetworkShape(1, qbft_start_block=20), 1.0, 0)
    manifest = load_manifest(tmp_path / "net")
    assert manifest is not None
    assert qbft_start_block(manifest) == 20
    spec = parse_genesis(json.loads(manifest.genesis_file.read_text()))
    assert spec.protocols == ((0, "ibft2"), (20, "qbft"))
    groups = tomllib.loads((made.nodes[0].directory / "config.toml").read_text())["rpc-http-api"]
    assert {"IBFT", "QBFT"} <= set(groups)


@pytest.mark.parametrize(
    "shape", [NetworkShape(qbft_start_block=0), NetworkShape(consensus="qbft", qbft_start_block=9)]
)
def test_a_switch_that_cannot_be_is_refused(shape: NetworkShape) -> None:
    with pytest.raises(DevnetError, match="--qbft-start-block"):
        check_network(shape, 1.0)
