"""The hash of typed data: the example of EIP-712, what wallets send besides, and documents that are none."""

from copy import deepcopy
from typing import Any

import pytest

from lacnode.devnet.account_signing import AccountSigner
from lacnode.devnet.accounts import mnemonic_accounts
from lacnode.devnet.typed_data import TypedDataError, hash_typed_data

PERSON = [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}]
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": PERSON,
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def changed(**members: object) -> dict[str, Any]:
    return {**deepcopy(MAIL), **members}


def of_value(type_: str, value: object) -> bytes:
    types = {"EIP712Domain": [], "Only": [{"name": "value", "type": type_}]}
    return hash_typed_data({"types": types, "primaryType": "Only", "domain": {}, "message": {"value": value}})


def test_the_example_of_the_eip() -> None:
    assert hash_typed_data(MAIL).hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


def test_a_devnet_account_signs_it() -> None:
    account = mnemonic_accounts()[0]
    signature = AccountSigner([account], 1).sign_typed_data(account.address, MAIL)
    assert len(signature) == 2 + 130
    assert signature[-2:] in ("1b", "1c")


def test_numbers_may_be_text_and_arrays_of_structs_are_hashed() -> None:
    assert of_value("uint256", "10") == of_value("uint256", 10) == of_value("uint256", "0xa")
    assert of_value("int8", -1) == of_value("int8", "-1")
    types = {**MAIL["types"], "Group": [{"name": "members", "type": "Person[]"}]}
    members = [MAIL["message"]["from"], MAIL["message"]["to"]]
    hashes = {
        hash_typed_data(changed(types=types, primaryType="Group", message={"members": given}))
        for given in (members, members[::-1], members[:1], [])
    }
    assert len(hashes) == 4


def test_only_the_domain_can_be_signed() -> None:
    assert len(hash_typed_data(changed(primaryType="EIP712Domain"))) == 32


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("uint8", 256),
        ("int8", 128),
        ("uint256", -1),
        ("uint256", True),
        ("uint256", "1" * 10_000),
        ("uint7", 1),
        ("bool", 1),
        ("address", "0x00"),
        ("bytes4", "0x00"),
        ("bytes33", "0x" + "00" * 33),
        ("bytes", "no"),
        ("string", 5),
        ("uint8[2]", [1]),
        ("uint8[]", 1),
        ("Unknown", {}),
        ("uint8" + "[]" * 40, [[]]),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(type_: str, value: object) -> None:
    for _ in range(40 if type_.count("[]") == 40 else 0):
        value = [value]
    with pytest.raises(TypedDataError):
        of_value(type_, value)


@pytest.mark.parametrize(
    "document",
    [
        5,
        {},
        changed(types=5),
        changed(types={"Mail": 5}),
        changed(types={"Mail": [5]}),
        changed(types={"bad name": []}),
        changed(types={f"T{index}": [] for index in range(1_000)}),
        changed(primaryType="Nothing"),
        changed(primaryType=5),
        changed(message=5),
        changed(domain=None),
    ],
)
def test_a_document_that_is_no_typed_data_is_refused(document: object) -> None:
    with pytest.raises(TypedDataError):
        hash_typed_data(document)


def test_a_struct_inside_itself_is_refused_when_it_is_too_deep() -> None:
    value: object = None
    for _ in range(1_000):
        value = {"next": value}
    types = {"EIP712Domain": [], "Node": [{"name": "next", "type": "Node"}]}
    with pytest.raises(TypedDataError):
        hash_typed_data({"types": types, "primaryType": "Node", "domain": {}, "message": value})


def test_a_message_with_more_values_than_it_shows_is_refused() -> None:
    """A struct that is null takes two bytes of the document, and the members of its parent take none."""
    members = [{"name": f"m{number}", "type": "Empty"} for number in range(200)]
    types = {"All": [{"name": "parts", "type": "Part[]"}], "Part": members, "Empty": []}
    document = {"types": types, "primaryType": "All", "domain": {}, "message": {"parts": [{}] * 90}}
    assert len(hash_typed_data(document)) == 32
    document["message"] = {"parts": [{}] * 100}
    with pytest.raises(TypedDataError, match="at most 20000 values"):
        hash_typed_data(document)
