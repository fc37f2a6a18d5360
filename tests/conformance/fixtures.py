"""Official state tests as they stand in their files: legacy GeneralStateTests and `state_tests` of execution-spec-tests.

A file holds tests by name; a test holds a state, a block's surroundings, one transaction with alternatives for data, gas
and value, and for each fork a list of results. Each result is one `StateTest`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import GenesisAccount
from lacnode.crypto.secp256k1 import sign
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import LEGACY, encode_signed_transaction

FORKS: Mapping[str, Fork] = {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "Constantinople": Fork.CONSTANTINOPLE,
    "ConstantinopleFix": Fork.PETERSBURG,
    "Istanbul": Fork.ISTANBUL,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "Merge": Fork.PARIS,
    "Paris": Fork.PARIS,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
    "Prague": Fork.PRAGUE,
}
"""The forks' names in the tests. Results of other forks are left out."""


@dataclass(frozen=True, slots=True)
class StateTest:
    """One transaction on one state in one fork, and what must come of it.

    `exception` names the rules one of which must refuse the transaction, separated by `|`; None where it must be
    executed. `transaction` is its canonical encoding.
    """

    name: str
    fork_name: str
    chain_id: int
    environment: Mapping[str, int | bytes]
    accounts: tuple[GenesisAccount, ...]
    transaction: bytes
    state_root: bytes
    logs_hash: bytes
    exception: str | None

    @property
    def fork(self) -> Fork:
        return FORKS[self.fork_name]


def read_state_tests(path: Path) -> list[StateTest]:
    """All tests in the file for forks that we have; an empty list if it is no file of state tests."""
    document = orjson.loads(path.read_bytes())
    if not isinstance(document, dict):
        return []
    return [
        test
        for name, fields in document.items()
        if isinstance(fields, dict) and {"env", "pre", "transaction", "post"} <= fields.keys()
        for test in _tests(name, fields)
    ]


def _tests(name: str, fields: Mapping[str, Any]) -> Iterator[StateTest]:
    accounts = tuple(_account(address, account) for address, account in fields["pre"].items())
    environment = {
        key: _environment_value(key, value) for key, value in fields["env"].items() if isinstance(value, str)
    }
    chain_id = _integer(fields.get("config", {}).get("chainid", "0x1"))
    for fork_name, results in fields["post"].items():
        if fork_name not in FORKS:
            continue
        for result in results:
            yield StateTest(
                name=f"{name} {fork_name} {_indexes(result['indexes'])}",
                fork_name=fork_name,
                chain_id=chain_id,
                environment=environment,
                accounts=accounts,
                transaction=_encoded(fields["transaction"], result),
                state_root=from_hex(result["hash"]),
                logs_hash=from_hex(result["logs"]),
                exception=result.get("expectException"),
            )


def _indexes(indexes: Mapping[str, int]) -> str:
    return f"d{indexes['data']}g{indexes['gas']}v{indexes['value']}"


def _account(address: str, account: Mapping[str, Any]) -> GenesisAccount:
    return GenesisAccount(
        address=from_hex(address),
        balance=_integer(account["balance"]),
        nonce=_integer(account["nonce"]),
        code=_data(account["code"]),
        storage=tuple((_integer(slot), _integer(value)) for slot, value in account["storage"].items()),
    )


def _environment_value(key: str, value: str) -> int | bytes:
    return from_hex(value) if key in ("currentCoinbase", "previousHash") else _integer(value)


def _encoded(transaction: Mapping[str, Any], result: Mapping[str, Any]) -> bytes:
    """The transaction that `result` speaks of; old files have its parts and the key, new ones the encoding as well."""
    if "txbytes" in result:
        return from_hex(result["txbytes"])
    indexes = result["indexes"]
    payload = [
        rlp.encode_scalar(_integer(transaction["nonce"])),
        rlp.encode_scalar(_integer(transaction["gasPrice"])),
        rlp.encode_scalar(_integer(transaction["gasLimit"][indexes["gas"]])),
        _data(transaction["to"]),
        rlp.encode_scalar(_integer(transaction["value"][indexes["value"]])),
        _data(transaction["data"][indexes["data"]]),
    ]
    signature = sign(keccak256(rlp.encode(payload)), from_hex(transaction["secretKey"]))
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return encode_signed_transaction(LEGACY, payload, 27 + signature[64], r, s)


def _integer(text: str) -> int:
    return int(text, 16) if text not in ("", "0x") else 0


def _data(text: str) -> bytes:
    return from_hex(text) if text else b""
