"""A network of private nodes with a flexible group, for tests of its members and its contract."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible.group_contracts import (
    ADD_PARTICIPANTS,
    GET_VERSION,
    LOCK,
    REMOVE_PARTICIPANT,
)
from lacnode.privacy.state.privacy_marker import (
    PROXY_ADDRESS,
    GroupMode,
)
from lacnode.privacy.state.private_transaction import (
    PrivateTransaction,
    private_contract_address,
)
from lacnode.privacy.state.time_slices import TimeSlices
from lacnode.rpc.errors import RpcError
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_C,
    Member,
    PrivateTestNetwork,
    deploying,
    private,
    word,
)

GROUP, OTHER = keccak256(b"a group"), keccak256(b"another group")

KEEPER_ADDRESS = private_contract_address(BOB.address, 0, GROUP)

NOT_THERE = "Flexible Privacy group does not exist."


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def adding(*keys: bytes) -> bytes:
    return ADD_PARTICIPANTS + encode(["bytes[]"], [list(keys)])


def removing(key: bytes) -> bytes:
    return REMOVE_PARTICIPANT + encode(["bytes"], [key])


class Groups(PrivateTestNetwork):
    """A stage of flexible groups. Alice's account owns them; Bob's deploys and calls."""

    def __init__(self, *, knows_own_keys: bool = False) -> None:
        super().__init__(mode=GroupMode.FLEXIBLE, knows_own_keys=knows_own_keys)

    def send(
        self,
        data: bytes = b"",
        *,
        to: bytes | None = PROXY_ADDRESS,
        by: NodeKey = ALICE,
        via: Member | None = None,
        group: bytes = GROUP,
        nonce: int | None = None,
    ) -> str:
        """Send a private transaction through a member's node; the marker's hash."""
        member = via or self.a
        nonce = self.nonce(member, by, group) if nonce is None else nonce
        transaction = private(by, nonce, to=to, data=data, group=group, private_from=member.manager.key)
        sent = member.node.call("eea_sendRawTransaction", to_hex(transaction.raw))
        assert isinstance(sent, str)
        return sent

    def nonce(self, member: Member, by: NodeKey, group: bytes = GROUP) -> int:
        return int(str(member.node.call("priv_getTransactionCount", to_hex(by.address), b64(group))), 16)

    def done(self, data: bytes = b"", **options: Any) -> str:
        """The status of what is sent and mined."""
        sent = self.send(data, **options)
        self.mine()
        return str(receipt(options.get("via") or self.a, sent)["status"])

    def make(self, *keys: bytes, group: bytes = GROUP) -> None:
        assert self.done(adding(*keys), group=group) == "0x1"

    def deploy(self) -> str:
        """The keeper in the group, by Bob's account; its marker's hash."""
        sent = self.send(deploying(KEEPER), to=None, by=BOB)
        self.mine()
        return sent

    def store(self, value: int, via: Member | None = None) -> str:
        return self.done(word(value), to=KEEPER_ADDRESS, by=BOB, via=via)

    def add(self, *keys: bytes) -> None:
        assert self.done(LOCK) == "0x1"
        assert self.done(adding(*keys)) == "0x1"


@dataclass
class SteppedClock:
    """The monotonic clock, and what was added to it. It stands for the module `time`, too."""

    late: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.late

    monotonic = __call__


class NoSlices(TimeSlices):
    """Time for nothing."""

    @contextmanager
    def slice(self, *_: float) -> Iterator[ExecutionBudget]:
        yield ExecutionBudget(0.0)


def receipt(member: Member, marker: str) -> Any:
    return member.node.call("priv_getTransactionReceipt", marker)


def found(member: Member, *keys: bytes) -> Any:
    return member.node.call("privx_findFlexiblePrivacyGroup", [b64(key) for key in keys])


def value(member: Member, block: str = "latest") -> int:
    """What the keeper has, as a member's node sees it."""
    answer = member.node.call("priv_call", b64(GROUP), {"to": to_hex(KEEPER_ADDRESS), "data": "0x"}, block)
    return int(str(answer), 16) if answer != "0x" else 0


def root(member: Member, block: str = "latest") -> object:
    return member.node.call("priv_debugGetStateRoot", b64(GROUP), block)


def refusal(member: Member, transaction: PrivateTransaction, method: str = "eea_sendRawTransaction") -> str:
    with pytest.raises(RpcError) as refused:
        member.node.call(method, to_hex(transaction.raw))
    assert refused.value.code == -50100
    return refused.value.message


STRANGER = NodeKey.from_private_key(keccak256(b"stranger"))


def invented(nonce: int, data: bytes) -> PrivateTransaction:
    """What C signs with an account of its own."""
    return private(STRANGER, nonce, to=PROXY_ADDRESS, data=data, group=GROUP, private_from=KEY_C)


def version(groups: Groups) -> object:
    question = {"to": to_hex(PROXY_ADDRESS), "data": to_hex(GET_VERSION)}
    return groups.a.node.call("priv_call", b64(GROUP), question, "latest")
