"""`eth_config` (EIP-7910): which fork a chain has now, and which ones its genesis schedules."""

import time
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.rpc_chain import CHAIN_ID, GENESIS_TIME, RpcTestNode, node

LATER, LATEST = 2 * 10**10, 3 * 10**10
"""Timestamps after every test."""

CONTRACTS = {
    "withdrawalRequestContractAddress": "0x00000961ef480eb55e80d19ad83579a64c007002",
    "consolidationRequestContractAddress": "0x0000bbddc7ce488642fb579f8b00f3a590007251",
    "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
}
LONDON_PRECOMPILES = {
    "BLAKE2F": "0x0000000000000000000000000000000000000009",
    "BN254_ADD": "0x0000000000000000000000000000000000000006",
    "BN254_MUL": "0x0000000000000000000000000000000000000007",
    "BN254_PAIRING": "0x0000000000000000000000000000000000000008",
    "ECREC": "0x0000000000000000000000000000000000000001",
    "ID": "0x0000000000000000000000000000000000000004",
    "MODEXP": "0x0000000000000000000000000000000000000005",
    "RIPEMD160": "0x0000000000000000000000000000000000000003",
    "SHA256": "0x0000000000000000000000000000000000000002",
}
CANCUN_PRECOMPILES = {
    **LONDON_PRECOMPILES,
    "KZG_POINT_EVALUATION": "0x000000000000000000000000000000000000000a",
}
PRAGUE_PRECOMPILES = {
    **CANCUN_PRECOMPILES,
    "BLS12_G1ADD": "0x000000000000000000000000000000000000000b",
    "BLS12_G1MSM": "0x000000000000000000000000000000000000000c",
    "BLS12_G2ADD": "0x000000000000000000000000000000000000000d",
    "BLS12_G2MSM": "0x000000000000000000000000000000000000000e",
    "BLS12_PAIRING_CHECK": "0x000000000000000000000000000000000000000f",
    "BLS12_MAP_FP_TO_G1": "0x0000000000000000000000000000000000000010",
    "BLS12_MAP_FP2_TO_G2": "0x0000000000000000000000000000000000000011",
}


def config(at: RpcTestNode) -> Any:
    return at.call("eth_config")


def fork_id(at: RpcTestNode, *places: int) -> str:
    """The checksum of EIP-6122: the genesis hash and the places of the forks after it."""
    checksum = zlib.crc32(at.chain.genesis_hash)
    for place in places:
        checksum = zlib.crc32(place.to_bytes(8), checksum)
    return f"0x{checksum:08x}"


def test_a_chain_without_later_forks_has_a_current_one_alone() -> None:
    at = node(forks={"berlinBlock": 0, "londonBlock": 0})
    assert config(at) == {
        "current": {
            "activationTime": 0,
            "blobSchedule": {"baseFeeUpdateFraction": 0, "max": 0, "target": 0},
            "chainId": hex(CHAIN_ID),
            "forkId": fork_id(at),
            "precompiles": LONDON_PRECOMPILES,
            "systemContracts": {},
        },
        "next": None,
        "last": None,
    }


def test_forks_ahead_are_the_next_and_the_last_one() -> None:
    times = {"shanghaiTime": GENESIS_TIME + 5, "cancunTime": LATER, "pragueTime": LATEST}
    at = node(forks={"londonBlock": 0, **times, **CONTRACTS})
    answer = config(at)
    assert answer["current"]["activationTime"] == GENESIS_TIME + 5
    assert answer["current"]["forkId"] == fork_id(at, GENESIS_TIME + 5)
    assert answer["next"] == {
        "activationTime": LATER,
        "blobSchedule": {"baseFeeUpdateFraction": 3_338_477, "max": 6, "target": 3},
        "chainId": hex(CHAIN_ID),
        "forkId": fork_id(at, GENESIS_TIME + 5, LATER),
        "precompiles": CANCUN_PRECOMPILES,
        "systemContracts": {},
    }
    assert answer["last"] == {
        "activationTime": LATEST,
        "blobSchedule": {"baseFeeUpdateFraction": 5_007_716, "max": 9, "target": 6},
        "chainId": hex(CHAIN_ID),
        "forkId": fork_id(at, GENESIS_TIME + 5, LATER, LATEST),
        "precompiles": PRAGUE_PRECOMPILES,
        "systemContracts": {
            "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS": CONTRACTS["consolidationRequestContractAddress"],
            "DEPOSIT_CONTRACT_ADDRESS": CONTRACTS["depositContractAddress"],
            "HISTORY_STORAGE_ADDRESS": "0x0000f90827f1c53a10cb7a02335b175320002935",
            "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS": CONTRACTS["withdrawalRequestContractAddress"],
        },
    }


@pytest.mark.parametrize(
    ("schedule", "more", "expected"),
    [
        ({"target": 1, "max": 2, "baseFeeUpdateFraction": 5}, {}, (1, 2, 5)),
        ({"max": 2}, {}, (3, 2, 3_338_477)),
        ({}, {"zeroBaseFee": True}, (3, 6, 0)),
    ],
)
def test_the_blobs_are_those_of_the_genesis(
    schedule: Mapping[str, int], more: Mapping[str, object], expected: tuple[int, int, int]
) -> None:
    forks = {"londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0, "blobSchedule": {"cancun": schedule}, **more}
    blobs = config(node(forks=forks))["current"]["blobSchedule"]
    assert (blobs["target"], blobs["max"], blobs["baseFeeUpdateFraction"]) == expected


def test_a_fork_by_block_began_with_its_block() -> None:
    at = node(forks={"berlinBlock": 0, "londonBlock": 2})
    answer = config(at)["current"]
    assert (answer["activationTime"], answer["forkId"]) == (0, fork_id(at))
    at.grow()
    # The rules of the next block are London's already.
    assert abs(config(at)["current"]["activationTime"] - time.time()) < 600
    london = at.grow().header
    at.grow()
    answer = config(at)["current"]
    assert (answer["activationTime"], answer["forkId"]) == (london.timestamp, fork_id(at, 2))


def test_two_forks_at_one_time_are_one() -> None:
    at = node(forks={"londonBlock": 0, "shanghaiTime": LATER, "cancunTime": LATER, "blobSchedule": {}})
    answer = config(at)
    assert answer["next"] == answer["last"]
    assert answer["next"]["precompiles"] == CANCUN_PRECOMPILES
