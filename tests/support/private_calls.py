"""Calls of the private methods, for tests of what they answer."""

import base64
from typing import Any

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.private_transaction import PrivateTransaction, legacy_group_id, private_contract_address
from tests.support.private_nodes import (
    ALICE,
    KEEPER,
    KEY_A,
    KEY_B,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)

GROUP = legacy_group_id(KEY_A, (KEY_B,))

KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)

UNKNOWN = bytes(31) + b"\x05"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def only(values: object) -> Any:
    """The one member of a list."""
    assert isinstance(values, list)
    assert len(values) == 1
    return values[0]


def send(member: Member, transaction: PrivateTransaction) -> str:
    sent = member.node.call("eea_sendRawTransaction", to_hex(transaction.raw))
    assert isinstance(sent, str)
    return sent


def deploy(stage: PrivateTestNetwork) -> str:
    """The keeper in the legacy group of A and B."""
    sent = send(stage.a, private(ALICE, 0, data=deploying(KEEPER)))
    stage.mine()
    return sent


def store(stage: PrivateTestNetwork, nonce: int, value: int) -> str:
    sent = send(stage.a, private(ALICE, nonce, to=KEEPER_ADDRESS, data=word(value)))
    stage.mine()
    return sent


def receipt(member: Member, marker: str, *more: object) -> Any:
    return member.node.call("priv_getTransactionReceipt", marker, *more)
