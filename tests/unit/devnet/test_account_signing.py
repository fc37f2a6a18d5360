"""What the developer endpoint signs is what other libraries sign with the same keys."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from lacnode.devnet.account_signing import AccountSigner, UnknownAccountError
from lacnode.devnet.accounts import mnemonic_accounts
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import RpcError

CHAIN_ID = 648_555
ACCOUNT = mnemonic_accounts()[0]
SIGNER = AccountSigner(mnemonic_accounts(), CHAIN_ID)
COMMON = {"nonce": "0x7", "gas": "0x5208", "value": "0x10", "data": "0x1234"}
TO = "0x" + "Ab" * 20


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": "0x0", "to": TO},
        {"gasPrice": "0x3b9aca00"},
        {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x2", "to": TO},
        {"gasPrice": "0x1", "to": TO, "accessList": [{"address": TO, "storageKeys": ["0x" + "01" * 32]}]},
        {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x2", "to": TO, "accessList": []},
    ],
)
def test_transactions_are_as_eth_account_signs_them(fields: dict[str, Any]) -> None:
    checksummed = {**fields, **({"to": "0x" + bytes.fromhex(TO[2:]).hex()} if "to" in fields else {})}
    if "to" in checksummed:
        checksummed["to"] = "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
    typed = {"type": 2} if "maxFeePerGas" in fields else {"type": 1} if fields.get("accessList") else {}
    if fields.get("accessList"):
        checksummed["accessList"] = [{"address": checksummed["to"], "storageKeys": ["0x" + "01" * 32]}]
    other = Account.sign_transaction({**COMMON, **checksummed, **typed, "chainId": CHAIN_ID}, ACCOUNT.private_key)
    ours = SIGNER.sign_transaction({"from": ACCOUNT.address, **COMMON, **fields})
    assert ours.removeprefix("0x") == other.raw_transaction.hex().removeprefix("0x")


def test_messages_are_as_eth_account_signs_them() -> None:
    other = Account.sign_message(encode_defunct(b"hello"), ACCOUNT.private_key)
    assert SIGNER.sign_message(ACCOUNT.address.upper().replace("0X", "0x"), b"hello").removeprefix(
        "0x"
    ) == other.signature.hex().removeprefix("0x")


def test_other_accounts_are_refused() -> None:
    with pytest.raises(UnknownAccountError):
        SIGNER.sign_message("0x" + "11" * 20, b"hello")


@pytest.mark.parametrize("value", ["0x1" + "0" * 64, "-0x1", -1, True, False, "", "1f", "0x_1", 1.5])
def test_a_value_that_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(RpcError) as refused:
        SIGNER.sign_transaction({"from": ACCOUNT.address, **COMMON, "gasPrice": "0x0", "value": value})
    assert refused.value.data == "value: a quantity was expected"


@pytest.mark.parametrize("value", [100, "100", "0x64"])
def test_text_without_0x_is_decimal(value: object) -> None:
    raw = SIGNER.sign_transaction({"from": ACCOUNT.address, **COMMON, "gasPrice": "0x0", "value": value})
    assert Transaction.decode(from_hex(raw)).value == 100
