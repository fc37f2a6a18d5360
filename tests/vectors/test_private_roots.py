"""State roots of private states are those that an earlier version recorded, from before payloads were compared with their
groups and before private execution had bounds, and the one that Besu's own tests have.

All members of a group must have the same state, whichever program and version they run. `private_roots.json` has, for each
story, the status of each private transaction and the root after it.
"""

import base64
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS, LOCK, REMOVE_PARTICIPANT, UNLOCK
from lacnode.privacy.state.privacy_marker import PRIVACY_ADDRESS, PROXY_ADDRESS, FixedKeySigner, GroupMode
from lacnode.privacy.state.private_transaction import encode_payload_text, legacy_group_id
from lacnode.privacy.transaction_manager import GroupType, PrivacyGroup
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    READER,
    REVERTER,
    WRITER,
    PrivateTestNetwork,
    creating,
    deploying,
    destroying,
    private,
    storing_around,
    word,
)
from tests.support.rpc_chain import REVERTER_ADDRESS, RICH, STORER_ADDRESS, signed

FILE = Path(__file__).with_name("private_roots.json")
LONDON: dict[str, object] = {"berlinBlock": 0, "londonBlock": 0, "zeroBaseFee": True}
FORKS: dict[str, dict[str, object] | None] = {
    "the default": None,
    "byzantium": {"byzantiumBlock": 0},
    "london": LONDON,
    "cancun": {**LONDON, "shanghaiTime": 0, "cancunTime": 0},
}
CALL = "60006000600060006000" + "73{}" + "5af150"
CREATE2_TWICE = bytes.fromhex(
    "6001600055" + "6005600060006000f550" + "6001600155" + "6005600060006000f550" + "6002600255" + "00"
)
"""Creates a contract twice at one address. The second creation fails."""


class Story:
    """Private transactions in one group, one in a block. `seen` has the status and the root after each, at its sender."""

    def __init__(self, network: PrivateTestNetwork, group: bytes, parties: Callable[[int], Mapping[str, Any]]) -> None:
        self.network = network
        self.group = base64.b64encode(group).decode()
        self.seen: list[list[str]] = []
        self._parties = parties
        self._public_nonce = 0

    def send(self, data: bytes, to: bytes | None = None, by: NodeKey = ALICE, via: int = 0) -> bytes:
        """Send one through the node of the member `via`. The address of the contract that it creates."""
        node = self.network.members[via].node
        nonce = int(str(node.call("priv_getTransactionCount", to_hex(by.address), self.group)), 16)
        one = private(by, nonce, to=to, data=data, **self._parties(via))
        marker = node.call("eea_sendRawTransaction", to_hex(one.raw))
        self.network.mine()
        receipt: Any = node.call("priv_getTransactionReceipt", marker)
        self.seen.append([receipt["status"], str(node.call("priv_debugGetStateRoot", self.group, "latest"))])
        return from_hex(receipt.get("contractAddress") or "0x")

    def deploy(self, code: bytes, by: NodeKey = ALICE, via: int = 0) -> bytes:
        return self.send(deploying(code), by=by, via=via)

    def deploy_publicly(self, code: bytes) -> bytes:
        nonce, self._public_nonce = self._public_nonce, self._public_nonce + 1
        self.network.mine(signed(BOB, nonce, to=None, data=deploying(code), gas=1_000_000))
        return keccak256(rlp.encode([BOB.address, rlp.encode_scalar(nonce)]))[12:]

    def call_publicly(self, to: bytes, data: bytes) -> None:
        nonce, self._public_nonce = self._public_nonce, self._public_nonce + 1
        self.network.mine(signed(BOB, nonce, to=to, data=data))


def tell(story: Story) -> None:
    """Contracts, failures, nested failures, creations, self-destruction, and reads of the public state."""
    keeper, reverter = story.deploy(KEEPER), story.deploy(REVERTER)
    story.send(word(42), to=keeper)
    story.send(b"", to=reverter)
    story.send(word(7), to=keeper, by=BOB, via=1)
    quiet = story.deploy(b"\x00", by=BOB, via=1)
    for callee in (REVERTER_ADDRESS, reverter, quiet, STORER_ADDRESS):
        story.send(b"", to=story.deploy(storing_around(callee)))
    settled = "6001600055" + CALL.format(quiet.hex()) + CALL.format(REVERTER_ADDRESS.hex()) + "6002600155" + "00"
    story.send(b"", to=story.deploy(bytes.fromhex(settled)))
    factory = story.deploy(creating())
    story.send(b"", to=factory)
    story.send(b"", to=factory, by=BOB, via=1)
    story.send(b"", to=story.deploy(CREATE2_TWICE))
    story.send(b"", to=story.deploy(destroying(b"\x77" * 20)))
    story.send(b"", to=b"\x78" * 20)
    reader, shown = story.deploy(READER), story.deploy_publicly(KEEPER)
    story.call_publicly(shown, word(12))
    story.send(word(shown), to=reader)
    story.send(word(STORER_ADDRESS) + word(5), to=story.deploy(WRITER))
    story.send(word(5), to=STORER_ADDRESS)
    story.send(word(9), to=keeper)


def of_recipients(forks: Mapping[str, object] | None = None) -> Story:
    keys = (KEY_A, KEY_B)

    def parties(via: int) -> Mapping[str, Any]:
        return {"private_from": keys[via], "private_for": [keys[1 - via]]}

    story = Story(PrivateTestNetwork(forks=forks), legacy_group_id(KEY_A, (KEY_B,)), parties)
    tell(story)
    return story


def of_a_name() -> Story:
    network = PrivateTestNetwork()
    members = [base64.b64encode(key).decode() for key in (KEY_A, KEY_B)]
    group = base64.b64decode(str(network.a.node.call("priv_createPrivacyGroup", {"addresses": members, "name": "n"})))
    story = Story(network, group, lambda via: {"private_from": (KEY_A, KEY_B)[via], "group": group})
    tell(story)
    return story


def adding(*keys: bytes) -> bytes:
    return ADD_PARTICIPANTS + encode(["bytes[]"], [list(keys)])


def flexible() -> Story:
    """A group that is made, used, locked, widened and narrowed."""
    group = keccak256(b"a group")
    # The version of a group follows from the hash of the block before. So the markers must be the same each time.
    network = PrivateTestNetwork(FixedKeySigner(RICH), mode=GroupMode.FLEXIBLE)
    story = Story(network, group, lambda via: {"private_from": (KEY_A, KEY_B, KEY_C)[via], "group": group})
    story.send(adding(KEY_A, KEY_B), to=PROXY_ADDRESS)
    keeper = story.deploy(KEEPER, by=BOB)
    story.send(word(1), to=keeper, by=BOB, via=1)
    story.send(adding(KEY_C), to=PROXY_ADDRESS)
    story.send(LOCK, to=PROXY_ADDRESS)
    story.send(word(2), to=keeper, by=BOB)
    story.send(adding(KEY_C), to=PROXY_ADDRESS)
    story.send(word(3), to=keeper, by=BOB, via=2)
    story.send(LOCK, to=PROXY_ADDRESS)
    story.send(UNLOCK, to=PROXY_ADDRESS)
    story.send(REMOVE_PARTICIPANT + encode(["bytes"], [KEY_B]), to=PROXY_ADDRESS)
    story.send(word(4), to=keeper, by=BOB, via=2)
    return story


STORIES: dict[str, Callable[[], Story]] = {
    **{f"a group of recipients, {name}": partial(of_recipients, forks) for name, forks in FORKS.items()},
    "a group by name": of_a_name,
    "a flexible group": flexible,
}


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:eth")  # py-evm's, about SELFDESTRUCT itself
@pytest.mark.parametrize("name", STORIES)
def test_are_those_of_an_earlier_version(name: str) -> None:
    story = STORIES[name]()
    recorded = json.loads(FILE.read_text("utf-8"))["stories"][name]
    assert story.seen == [entry.split() for entry in recorded]
    last = [to_hex(member.root(base64.b64decode(story.group))) for member in story.network.members]
    assert last.count(story.seen[-1][1]) == 2, "each story ends with two members"


class TestBesu:
    """`PrivacyReorgTest` of Besu 24.1.0: one private transaction of a funded account in a group that begins empty.

    The state is that of the account's nonce and of the contract, whose address hangs on the group. The key of the payload
    has no part in it.
    """

    SENDER = NodeKey.from_private_key(bytes.fromhex("8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63"))
    GROUP = bytes.fromhex("f250d523ae9164722b06ca25cfa2a7f3c45df96b09e215236f886c876f715bfa")
    EVENT_EMITTER = bytes.fromhex(
        "608060405234801561001057600080fd5b5060008054600160a060020a03191633179055610199806100326000396000f3fe6080604052600436"
        "106100565763ffffffff7c01000000000000000000000000000000000000000000000000000000006000350416633fa4f245811461005b578063"
        "6057361d1461008257806367e404ce146100ae575b600080fd5b34801561006757600080fd5b506100706100ec565b6040805191825251908190"
        "0360200190f35b34801561008e57600080fd5b506100ac600480360360208110156100a557600080fd5b50356100f2565b005b3480156100ba57"
        "600080fd5b506100c3610151565b6040805173ffffffffffffffffffffffffffffffffffffffff9092168252519081900360200190f35b600254"
        "90565b604080513381526020810183905281517fc9db20adedc6cf2b5d25252b101ab03e124902a73fcb12b753f3d1aaa2d8f9f5929181900390"
        "910190a16002556001805473ffffffffffffffffffffffffffffffffffffffff191633179055565b60015473ffffffffffffffffffffffffffff"
        "ffffffffffff169056fea165627a7a72305820c7f729cb24e05c221f5aa913700793994656f233fe2ce3b9fd9a505ea17e8d8a0029"
    )
    ROOT = "0x2121b68f1333e93bae8cd717a3ca68c9d7e7003f6b288c36dfc59b0f87be9590"

    def test_the_root_after_a_transaction_on_an_empty_state(self) -> None:
        network = PrivateTestNetwork(forks={"petersburgBlock": 0})
        group = PrivacyGroup(self.GROUP, "", "", GroupType.PANTHEON, (KEY_A, KEY_B))
        for member in (network.a, network.b):
            member.manager.groups[self.GROUP] = group
        # As in Besu's test the private transaction asks for less gas than it needs: no account pays it.
        one = private(self.SENDER, data=self.EVENT_EMITTER, group=self.GROUP, gas=1000)
        key = network.a.manager.send_to_group(encode_payload_text(one), KEY_A, self.GROUP)
        marker = signed(RICH, 0, to=PRIVACY_ADDRESS, data=key, gas=60_000, price=1_000)
        network.mine(marker)
        roots = [to_hex(member.root(self.GROUP)) for member in (network.a, network.b)]
        assert roots == [self.ROOT, self.ROOT]
