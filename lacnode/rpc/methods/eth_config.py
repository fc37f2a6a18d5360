"""ETH: `eth_config` (EIP-7910): the rules of the current fork, of the next one and of the last one that is scheduled.

Forks by timestamp alone are ahead: the time of a later fork by block number is not known.
"""

import time
from collections.abc import Mapping

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.system_contracts import HISTORY_STORAGE_ADDRESS
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc import results
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.services import RpcServices

AFTER_ALL_BLOCKS = 2**63 - 1
"""A height at which every fork by block number is active. A fork by timestamp comes after all of them (EIP-6122)."""

_PRECOMPILES: tuple[tuple[Fork, Mapping[str, int]], ...] = (
    (Fork.FRONTIER, {"ECREC": 1, "SHA256": 2, "RIPEMD160": 3, "ID": 4}),
    (Fork.BYZANTIUM, {"MODEXP": 5, "BN254_ADD": 6, "BN254_MUL": 7, "BN254_PAIRING": 8}),
    (Fork.ISTANBUL, {"BLAKE2F": 9}),
    (Fork.CANCUN, {"KZG_POINT_EVALUATION": 10}),
    (
        Fork.PRAGUE,
        {
            "BLS12_G1ADD": 11,
            "BLS12_G1MSM": 12,
            "BLS12_G2ADD": 13,
            "BLS12_G2MSM": 14,
            "BLS12_PAIRING_CHECK": 15,
            "BLS12_MAP_FP_TO_G1": 16,
            "BLS12_MAP_FP2_TO_G2": 17,
        },
    ),
)
"""The precompiled contracts that each fork adds: the names of EIP-7910 and the addresses as numbers."""


def eth_config(services: RpcServices, params: Params) -> object:
    """Return the rules of the current fork, the next one and the last one that is scheduled (EIP-7910). The last two
    are None if no fork by timestamp is ahead."""
    spec, head = services.chain.spec, services.chain.head.header
    now = max(head.timestamp, int(time.time()))
    fork = spec.forks.fork_at(head.number + 1, now)
    fork_id = spec.forks.fork_id_at(services.chain.genesis_hash, head.number + 1, now).hash
    ahead = _later_forks(spec, fork, now)
    scheduled = [_configuration(spec, *later, _fork_id_at_time(services, later[1])) for later in ahead]
    return {
        "current": _configuration(spec, fork, _activation_time(services, fork, now), fork_id),
        "next": scheduled[0] if scheduled else None,
        "last": scheduled[-1] if scheduled else None,
    }


def _later_forks(spec: ChainSpec, current: Fork, now: int) -> list[tuple[Fork, int]]:
    """Return the forks after `current` that begin by a timestamp after `now`, with their timestamps, in this order."""
    later: list[tuple[Fork, int]] = []
    for begins, fork in sorted((begins, fork) for begins, fork in spec.forks.by_time if begins > now):
        if fork > max(current, *(known for known, _ in later), Fork.FRONTIER):
            later = [entry for entry in later if entry[1] != begins]
            later.append((fork, begins))
    return later


def _activation_time(services: RpcServices, fork: Fork, now: int) -> int:
    """Return the Unix timestamp at which `fork`, the current one, began. It is 0 for a fork of the genesis."""
    spec, genesis = services.chain.spec, services.chain.spec.genesis
    by_block = [begins for begins, known in spec.forks.by_block if known == fork]
    if fork == Fork.FRONTIER or 0 in by_block:
        return 0
    by_time = [begins for begins, known in spec.forks.by_time if known == fork and begins <= now]
    # A block that is not there yet is the next one, whose rules count already.
    headers = [
        services.chain.header_at(begins) for begins in by_block if begins <= services.chain.head.header.number + 1
    ]
    earliest = min([*by_time, *(now if header is None else header.timestamp for header in headers)], default=0)
    return 0 if earliest <= genesis.timestamp else earliest


def _fork_id_at_time(services: RpcServices, timestamp: int) -> bytes:
    forks, genesis_hash = services.chain.spec.forks, services.chain.genesis_hash
    return forks.fork_id_at(genesis_hash, AFTER_ALL_BLOCKS, timestamp).hash


def _configuration(spec: ChainSpec, fork: Fork, activation_time: int, fork_id: bytes) -> results.Json:
    schedule = spec.blob_schedule_of(fork)
    return {
        "activationTime": activation_time,
        "blobSchedule": {
            # Besu says 0 where blob gas costs nothing.
            "baseFeeUpdateFraction": 0 if spec.constant_base_fee is not None else schedule.base_fee_update_fraction,
            "max": schedule.max,
            "target": schedule.target,
        },
        "chainId": results.quantity(spec.chain_id),
        "forkId": to_hex(fork_id),
        "precompiles": _precompiles(fork),
        "systemContracts": _system_contracts(spec, fork),
    }


def _precompiles(fork: Fork) -> results.Json:
    active = {name: number for begins, added in _PRECOMPILES if begins <= fork for name, number in added.items()}
    return {name: to_hex(active[name].to_bytes(20)) for name in sorted(active)}


def _system_contracts(spec: ChainSpec, fork: Fork) -> results.Json:
    if fork < Fork.PRAGUE or spec.request_contracts is None:
        return {}
    return {
        "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS": to_hex(spec.request_contracts.consolidation),
        "DEPOSIT_CONTRACT_ADDRESS": to_hex(spec.request_contracts.deposit),
        "HISTORY_STORAGE_ADDRESS": to_hex(HISTORY_STORAGE_ADDRESS),
        "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS": to_hex(spec.request_contracts.withdrawal),
    }


CONFIG_METHODS = (Method("eth_config", "ETH", eth_config),)
