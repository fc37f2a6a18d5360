"""What a stranger does with flexible groups that it makes itself, and adds a member to who did not ask for it.

The contract of a flexible group is its members' work, and so is the history that new members receive. A member that is added
asks the contract at each marker, and executes the history.
"""

import secrets

import trio
from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.flexible.group_contract_queries import NO_VERSION
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS, GET_VERSION
from lacnode.privacy.state.flexible.group_history import PastTransaction, encode_history_payload
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode
from lacnode.privacy.state.private_transaction import PrivateTransaction, private_contract_address
from lacnode.rpc.privacy_parameters import in_base64
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.private_floods import PAUSE_SECONDS
from tests.siege.http import send
from tests.siege.init_codes import ENDLESS_CALL
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import PrivateStranger, key_of, send_marker, validators, victims
from tests.support.private_nodes import deploying, word

UPGRADE = bytes.fromhex("3659cfe6")
SILENT_CONTRACT = bytes.fromhex("60003560e01c63965a25ef146013575b600f565b600160005260206000f3")
"""Answers `true` to the addition of members, and loops at every other call. An upgrade of the group calls the addition."""

MAKERS, MARKERS_EACH = 4, 20
MARKER_PAUSE_SECONDS = 0.4
"""Of each maker. Without it the attack would be a flood of public transactions too."""

PAST_TRANSACTIONS = 10
RPC_CALLERS = 4
MINED_SECONDS = 60.0
POLL_SECONDS = 0.2


async def silent_contracts(manifest: Manifest, sent: Sent) -> None:
    """Groups with the victim whose contract never answers. Markers of them, and clients that ask for all groups."""

    async def keep_on(victim: DevnetNode, via: DevnetNode) -> None:
        while True:
            group = _Group(victim, via, sent)
            await group.make_silent()
            for _ in range(MARKERS_EACH):
                await group.send(b"\0", None, NO_VERSION)
                await trio.sleep(MARKER_PAUSE_SECONDS)

    async def ask(victim: DevnetNode) -> None:
        while True:
            answer = await send(victim.rpc_port, "privx_findFlexiblePrivacyGroup", [[str(victim.privacy_key)]])
            sent.count("searches answered" if answer else "searches cut off")
            await trio.sleep(PAUSE_SECONDS)

    async with trio.open_nursery() as nursery:
        for number, victim in enumerate(victims(manifest)):
            for turn in range(MAKERS):
                nursery.start_soon(keep_on, victim, validators(manifest)[(number + turn) % 4])
            for _ in range(RPC_CALLERS):
                nursery.start_soon(ask, victim)


async def false_histories(manifest: Manifest, sent: Sent) -> None:
    """Additions of the victim with a history of endless transactions, each in a new group, with false roots."""

    async def keep_on(victim: DevnetNode, via: DevnetNode) -> None:
        while True:
            group = _Group(victim, via, sent)
            past = [group.transaction(ENDLESS_CALL, None) for _ in range(PAST_TRANSACTIONS)]
            # A history needs markers in the chain, in order. Their payloads need not exist.
            hashes = [await send_marker(via, one, secrets.token_bytes(32), sent, GroupMode.FLEXIBLE) for one in past]
            await _mined(via, hashes[-1])
            history = encode_history_payload(
                [PastTransaction(one, hash_, secrets.token_bytes(32)) for one, hash_ in zip(past, hashes, strict=True)]
            )
            key = await group.stranger.push_text(victim, history, sent)
            addition = group.addition()
            own = await group.stranger.push(victim, addition, sent, NO_VERSION)
            if key is not None and own is not None:
                await send_marker(via, addition, own + key, sent, GroupMode.FLEXIBLE)
                sent.count("false histories")

    async with trio.open_nursery() as nursery:
        for number, victim in enumerate(victims(manifest)):
            for turn in range(2):
                nursery.start_soon(keep_on, victim, validators(manifest)[number + turn])


class _Group:
    """A flexible group of a stranger and one victim."""

    def __init__(self, victim: DevnetNode, via: DevnetNode, sent: Sent) -> None:
        self.stranger = PrivateStranger()
        self._victim, self._via, self._sent = victim, via, sent
        self._owner, self._nonce = NodeKey.generate(), 0
        self.id = secrets.token_bytes(32)

    def transaction(self, data: bytes, to: bytes | None) -> PrivateTransaction:
        one = self.stranger.transaction(
            self._victim, data, to=to, nonce=self._nonce, account=self._owner, group=self.id
        )
        self._nonce += 1
        return one

    def addition(self) -> PrivateTransaction:
        """The transaction that makes the group."""
        members = [self.stranger.pair.public, key_of(self._victim)]
        return self.transaction(ADD_PARTICIPANTS + encode(["bytes[]"], [members]), PROXY_ADDRESS)

    async def make_silent(self) -> None:
        """Make the group, and replace its contract by one that does not answer."""
        await self._send(self.addition(), NO_VERSION, is_waiting=True)
        version = await self._version()
        silent = private_contract_address(self._owner.address, self._nonce, self.id)
        await self.send(deploying(SILENT_CONTRACT), None, version)
        await self.send(UPGRADE + word(silent), PROXY_ADDRESS, version, is_waiting=True)
        self._sent.count("contracts made silent" if version != NO_VERSION else "groups not made")

    async def send(self, data: bytes, to: bytes | None, version: bytes, *, is_waiting: bool = False) -> None:
        await self._send(self.transaction(data, to), version, is_waiting=is_waiting)

    async def _send(self, one: PrivateTransaction, version: bytes, *, is_waiting: bool) -> None:
        key = await self.stranger.push(self._victim, one, self._sent, version)
        if key is not None:
            marker = await send_marker(self._via, one, key, self._sent, GroupMode.FLEXIBLE)
            if is_waiting:
                await _mined(self._victim, marker)

    async def _version(self) -> bytes:
        """The version of the group at the victim, which a client may ask for."""
        call = {"to": to_hex(PROXY_ADDRESS), "data": to_hex(GET_VERSION)}
        answer = await send(self._victim.rpc_port, "priv_call", [in_base64(self.id), call, "latest"])
        found = answer.rpartition(b'"result":"0x')[2][:64]
        return bytes.fromhex(found.decode("ascii")) if len(found) == 64 else NO_VERSION


async def _mined(node: DevnetNode, hash_: bytes) -> None:
    """Return when a node has the transaction in a block, or after a while."""
    with trio.move_on_after(MINED_SECONDS):
        while b'"blockNumber"' not in await send(node.rpc_port, "eth_getTransactionReceipt", [to_hex(hash_)]):  # noqa: ASYNC110
            await trio.sleep(POLL_SECONDS)


ATTACKS = (
    LoadAttack(
        "flexible-silence",
        "contracts of groups that never answer",
        silent_contracts,
        MEMBER,
        kind=NetworkKind.FLEXIBLE,
    ),
    LoadAttack("flexible-histories", "false histories of groups", false_histories, MEMBER, kind=NetworkKind.FLEXIBLE),
)
