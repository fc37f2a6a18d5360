"""Every reason for refusing a transaction: revm's name for it, and py-evm's reason, are those of the table."""

from typing import Any

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.engine import ExecutionError
from lacnode.evm.engine_kind import why_no_library
from lacnode.evm.native_block import NativeBlock
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.native_library import native_library
from lacnode.evm.native_refusals import REFUSALS
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import BLOB, Transaction, encode_signed_transaction
from tests.support.evm_network import CHAIN_ID, FRIEND, GAS_LIMIT, POOR, RICH, Network, hash_of, signed

if reason := why_no_library():
    pytest.skip(reason, allow_module_level=True)

LONDON: dict[str, Any] = {"berlinBlock": 0, "londonBlock": 0}
CANCUN: dict[str, Any] = {**LONDON, "shanghaiTime": 0, "cancunTime": 0}
REQUESTS = ("withdrawalRequestContractAddress", "consolidationRequestContractAddress", "depositContractAddress")
PRAGUE: dict[str, Any] = {**CANCUN, "pragueTime": 0, **dict.fromkeys(REQUESTS, "0x" + 20 * "99")}
OWNER = NodeKey.from_private_key(keccak256(b"owner of a contract"))


def typed(type_: int, fields: list[RlpValue], nonce: int = 0) -> Transaction:
    """A transaction of `RICH` with these fields after the nonce."""
    payload = [rlp.encode_scalar(CHAIN_ID), rlp.encode_scalar(nonce), *fields]
    signature = sign(keccak256(bytes([type_]) + rlp.encode(payload)), RICH.private_key)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return Transaction.decode(encode_signed_transaction(type_, payload, signature[64], r, s))


def blobs(hashes: list[RlpValue], blob_fee: int = 10) -> Transaction:
    gas = [rlp.encode_scalar(10), rlp.encode_scalar(10), rlp.encode_scalar(100_000)]
    return typed(BLOB, [*gas, FRIEND, b"", b"", [], rlp.encode_scalar(blob_fee), hashes])


def set_code(authorizations: list[RlpValue]) -> Transaction:
    return typed(4, [b"", b"", rlp.encode_scalar(100_000), FRIEND, b"", b"", [], authorizations])


HASH = b"\1" + bytes(31)
CASES: dict[str, tuple[dict[str, Any], Transaction, int | None]] = {
    "InvalidChainId": ({"berlinBlock": 0}, signed(RICH, 0, to=FRIEND, chainId=8), None),
    "Eip2930NotSupported": ({"istanbulBlock": 0}, signed(RICH, 0, to=FRIEND, accessList=[], type=1), None),
    "Eip1559NotSupported": (
        {"berlinBlock": 0}, signed(RICH, 0, to=FRIEND, maxFeePerGas=0, maxPriorityFeePerGas=0), None
    ),
    "Eip4844NotSupported": (LONDON, blobs([HASH]), 0),
    "Eip7702NotSupported": (CANCUN, set_code([]), 0),
    "EmptyBlobs": (CANCUN, blobs([]), 0),
    "BlobVersionNotSupported": (CANCUN, blobs([bytes(32)]), 0),
    "TooManyBlobs": (CANCUN, blobs([HASH] * 7), 0),
    "BlobGasPriceGreaterThanMax": (CANCUN, blobs([HASH], 0), 0),
    "NonceOverflowInTransaction": ({"berlinBlock": 0}, signed(RICH, 2**64 - 1, to=FRIEND), None),
    "CreateInitCodeSizeLimit": (CANCUN, signed(RICH, 0, data=bytes(49_153), gas=5_000_000), 0),
    "EmptyAuthorizationList": (PRAGUE, set_code([]), 0),
    "PriorityFeeGreaterThanMaxFee": (
        LONDON, signed(RICH, 0, to=FRIEND, maxFeePerGas=1, maxPriorityFeePerGas=2), 0
    ),
    "CallGasCostMoreThanGasLimit": ({"berlinBlock": 0}, signed(RICH, 0, to=FRIEND, gas=20_999), None),
    "GasFloorMoreThanGasLimit": (PRAGUE, signed(RICH, 0, to=FRIEND, gas=30_000, data=b"\1" * 500), 0),
    "LackOfFundForMaxFee": ({"berlinBlock": 0}, signed(RICH, 0, to=FRIEND, value=10**25), None),
    "CallerGasLimitMoreThanBlock": ({"berlinBlock": 0}, signed(RICH, 0, to=FRIEND, gas=GAS_LIMIT + 1), None),
    "GasPriceLessThanBasefee": (LONDON, signed(RICH, 0, to=FRIEND, gasPrice=6), 7),
    "NonceTooLow": ({"berlinBlock": 0}, signed(POOR, 0, to=FRIEND), None),
    "NonceTooHigh": ({"berlinBlock": 0}, signed(RICH, 1, to=FRIEND), None),
    "RejectCallerWithCode": ({"berlinBlock": 0}, signed(OWNER, 1, to=FRIEND), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_revm_and_py_evm_refuse_for_the_same_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forks, transaction, base_fee = CASES[name]
    accounts = {OWNER.address: {"code": "00", "nonce": "0x1"}, POOR.address: {"nonce": "0x1"}}
    net = Network(accounts, **forks)
    header = net.next_header(base_fee=base_fee)
    with pytest.raises(ExecutionError, match=REFUSALS[name].name):
        PyEvmEngine(net.spec, net.store).execute(net.header.state_root, header, [transaction], hash_of)
    refused = []
    add_all = NativeBlock.execute_all

    def watched(block: NativeBlock, *arguments: Any) -> None:
        try:
            add_all(block, *arguments)
        except native_library().RefusedError as error:
            refused.append(str(error))
            raise

    monkeypatch.setattr(NativeBlock, "execute_all", watched)
    with pytest.raises(ExecutionError, match=REFUSALS[name].name):
        NativeEngine(net.spec, net.store).execute(net.header.state_root, header, [transaction], hash_of)
    assert refused == [name]


def test_every_name_but_one_has_a_case() -> None:
    """Prices of more than 64 bits, without which gas and price do not overflow, are left to py-evm."""
    assert REFUSALS.keys() - CASES.keys() == {"OverflowPaymentInTransaction"}
    assert max(Fork) == Fork.PRAGUE, "a later fork may have reasons of its own"
