"""What a stranger makes members execute: markers of payloads that it has sealed to them.

Found before: one private transaction with an endless loop kept a member's private execution for ever, and markers of one
large payload had it read again for each of them. Members now know a payload whose nonce is used, give each transaction a
slice of time, and let senders that are known go first.
"""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.absent_marker_limit import MAX_ABSENT_MARKERS
from lacnode.privacy.state.privacy_marker import GroupMode, create_marker
from lacnode.privacy.state.private_transaction import PrivateTransaction, encode_payload_text
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.http import ask, exchange, request
from tests.siege.init_codes import ENDLESS_CALL, MULMODS
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import PrivateStranger, push_sealed, send_marker, validators, victims

LARGE_BYTES = 4_000_000
FAILING_BYTES = 1_000_000
PAUSE_SECONDS = 0.1
MARKERS_A_SECOND = 40
"""Of all replays together. As many as are taken would be a flood of public transactions: several hundred a second."""

JUNK_AT_ONCE, JUNK_PAUSE_SECONDS = 20, 0.5
"""40 markers a second. 200 a second would be a flood of public transactions."""

JUNK_LENGTHENED = 4.5
"""A siege of 60 s then sends 10,800 junk markers. A node asks for 10,000 absent payloads at most."""

LATE_SECONDS = 10.0
"""Between a marker and the push of its payload, while junk markers come."""

EXECUTED_SECONDS = 20.0
"""That a payload may take from its push to its private receipt."""

JUNK_GAS = 100_000
"""Of a junk marker. A block has space for all that come in its period."""

CODES = (ENDLESS_CALL, MULMODS)
ENDLESS_A_SECOND = 10
"""At each victim. As many as are taken would be a flood of public transactions too, and six nodes share the machine."""

REVERT = bytes.fromhex("60006000fd")


async def large_replays(manifest: Manifest, sent: Sent) -> None:
    """One payload of 4 MB at each member, and markers of it in every block."""
    # STOP is the first byte, so that the contract is made at once, with all the rest behind it.
    await _replays(manifest, sent, lambda stranger, victim: [stranger.transaction(victim, bytes(LARGE_BYTES))])


async def failing_replays(manifest: Manifest, sent: Sent) -> None:
    """Payloads of 1 MB whose transaction reverts, or has a nonce that is far too high: no marker of them is the last one."""
    await _replays(
        manifest,
        sent,
        lambda stranger, victim: [
            stranger.transaction(victim, REVERT + bytes(FAILING_BYTES)),
            stranger.transaction(victim, bytes(FAILING_BYTES), nonce=1_000_000),
        ],
    )


async def _replays(
    manifest: Manifest, sent: Sent, make: Callable[[PrivateStranger, DevnetNode], list[PrivateTransaction]]
) -> None:
    """Push what `make` makes once to each victim, and send markers of all in turn, by each validator in turn."""
    stranger, pushed = PrivateStranger(), list[tuple[PrivateTransaction, bytes]]()
    for victim in victims(manifest):
        for one in make(stranger, victim):
            key = await stranger.push(victim, one, sent)
            if key is not None:
                pushed.append((one, key))
    assert pushed, "no victim has taken a payload"
    async with trio.open_nursery() as nursery:
        for (one, key), via in zip(itertools.cycle(pushed), itertools.cycle(validators(manifest)), strict=False):
            nursery.start_soon(send_marker, via, one, key, sent)
            await trio.sleep(1 / MARKERS_A_SECOND)


async def endless_transactions(manifest: Manifest, sent: Sent) -> None:
    """A new endless transaction of a new key, in a new group, `ENDLESS_A_SECOND` times a second at each victim."""

    async def send(victim: DevnetNode, via: DevnetNode, code: bytes) -> None:
        stranger = PrivateStranger()
        one = stranger.transaction(victim, code, account=NodeKey.generate())
        key = await stranger.push(victim, one, sent)
        if key is not None:
            await send_marker(via, one, key, sent)

    async with trio.open_nursery() as nursery:
        for number in itertools.count():
            ways = validators(manifest)
            for victim in victims(manifest):
                nursery.start_soon(send, victim, ways[number // 2 % len(ways)], CODES[number % 2])
            await trio.sleep(1 / ENDLESS_A_SECOND)


async def junk_markers(manifest: Manifest, sent: Sent) -> None:
    """Markers of payloads that no manager has, of a new account each, by each validator in turn. Payloads that come late,
    after their marker, must be executed all the same, the first one when more junk came than a node asks for."""
    stranger, victim = PrivateStranger(), victims(manifest)[0]
    one = stranger.transaction(victim, b"\0", gas=JUNK_GAS)

    async def until_full() -> None:
        while sent.counts.get("junk markers taken", 0) <= MAX_ABSENT_MARKERS:  # noqa: ASYNC110
            await trio.sleep(LATE_SECONDS)

    async def keep_coming_late() -> None:
        while True:
            await _come_late(victim, via_first, partial(trio.sleep, LATE_SECONDS), sent)

    via_first = validators(manifest)[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_come_late, victim, via_first, until_full, sent)
        nursery.start_soon(keep_coming_late)
        for via in itertools.cycle(validators(manifest)):
            nursery.start_soon(_send_junk, via, one, sent)
            await trio.sleep(JUNK_PAUSE_SECONDS)


async def _come_late(victim: DevnetNode, via: DevnetNode, wait: Callable[[], Awaitable[None]], sent: Sent) -> None:
    """Send a marker, `wait`, push its payload, and see it executed."""
    stranger = PrivateStranger()
    one = stranger.transaction(victim, b"\0", gas=JUNK_GAS)
    sealed = stranger.seal(victim, encode_payload_text(one))
    marker = to_hex(await send_marker(via, one, sealed.key, sent))
    await wait()
    if not await push_sealed(victim, sealed, sent):
        sent.fault("a late payload was refused")
        return
    with trio.move_on_after(EXECUTED_SECONDS):
        while not isinstance(await ask(victim.rpc_port, "priv_getTransactionReceipt", marker), dict):  # noqa: ASYNC110
            await trio.sleep(PAUSE_SECONDS)
        sent.count("late payloads executed")
        return
    sent.fault(f"a late payload was not executed within {EXECUTED_SECONDS:.0f} s after it was pushed")


async def _send_junk(via: DevnetNode, one: PrivateTransaction, sent: Sent) -> None:
    markers = (
        create_marker(NodeKey.generate(), 0, one, GroupMode.OFFCHAIN, secrets.token_bytes(32))
        for _ in range(JUNK_AT_ONCE)
    )
    batch = [request("eth_sendRawTransaction", to_hex(marker.raw)) for marker in markers]
    taken = (await exchange(via.rpc_port, batch)).count(b'"result"')
    sent.count("junk markers taken", taken)
    sent.count("junk markers refused", JUNK_AT_ONCE - taken)


ATTACKS = (
    LoadAttack("private-large-replays", "markers of payloads of 4 MB", large_replays, MEMBER, kind=NetworkKind.PRIVATE),
    LoadAttack(
        "private-failing-replays",
        "markers of payloads that fail each time",
        failing_replays,
        MEMBER,
        kind=NetworkKind.PRIVATE,
    ),
    LoadAttack(
        "private-endless",
        "endless private transactions of strangers",
        endless_transactions,
        MEMBER,
        kind=NetworkKind.PRIVATE,
    ),
    LoadAttack(
        "private-junk",
        "markers of payloads that no manager has",
        junk_markers,
        MEMBER,
        kind=NetworkKind.PRIVATE,
        lengthened=JUNK_LENGTHENED,
    ),
)
