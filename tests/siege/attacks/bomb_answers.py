"""What a stranger's managers answer when a manager calls the URLs that the stranger announces.

Found before: an answer of 300 kB with a decimal fraction stood the whole node still for 20 s. An answer is read by the same
reader as a request, and a manager asks whoever announces a URL.
"""

import itertools

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.orion_party_info import PartyInfo, encode_orion_party_info
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH
from lacnode.privacy.service.peer_client import MAX_PEER_ANSWER_BYTES
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks.claimed_keys import ok, read_request
from tests.siege.attacks.manager_ports import post
from tests.siege.network import NetworkKind
from tests.siege.private_stranger import victims

ANNOUNCERS = 4
"""For each manager. Each announces a new URL once the last one was called, or was not called in time."""

CALLED_SECONDS = 10.0
FIRST_CALL_SECONDS = 30.0
"""A manager that has called none of the announced URLs by then reads no bomb. It bounds its calls to URLs that have not
answered, so it need not call each of them in time."""

ANNOUNCE_PAUSE_SECONDS = 0.1


def bombs(size: int) -> dict[str, bytes]:
    """Answers of up to `size` bytes that are costly to read."""
    long, count = size - 20, (size - 20).to_bytes(4)
    names = b"".join(b"\x64%04x\xa0" % number for number in range(size // 6 - 4))
    return {
        "a decimal fraction": b"\xa1\x61a\xc4\x82\x00\xc2\x5a" + count + b"\xff" * long,
        "a long number": b"\xa1\x61a\xc2\x5a" + count + b"\xff" * long,
        "a MIME message": b"\xa1\x61a\xd8\x24\x7a" + count + b"a" * long,
        "a regular expression": b"\xa1\x61a\xd8\x23\x64(((a",
        "shared references": b"\xa1\x61a" + b"\xd8\x1c\x81" * (long // 3) + b"\xd8\x1d\x00",
        "depth": b"\x81" * size,
        "depth without end": b"\x9f" * size,
        "maps inside maps": b"\xa1\x61a" * (size // 3),
        "empty arrays": b"\x9f" + b"\x80" * (size - 2) + b"\xff",
        "empty maps with a count": b"\x9a" + count + b"\xa0" * long,
        "keys": b"\xbf" + names + b"\xff",
        "a count that is not true": b"\x9b" + b"\xff" * 8,
        "a length that is not true": b"\x5b\x7f" + b"\xff" * 7,
    }


BOMBS = tuple(bombs(MAX_PEER_ANSWER_BYTES).items())
"""The largest answer to a question for the party info."""


class BombServer:
    """Listens at all addresses of this machine, so that each of them is another URL. It answers every call with the next
    bomb, whatever is asked."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._bombs = itertools.cycle(BOMBS)
        self._numbers = itertools.count()
        self._waiting: dict[str, trio.Event] = {}
        self._port = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="0.0.0.0")
        self._port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    def new_url(self) -> tuple[str, trio.Event]:
        """A URL that nobody has announced, and what is set when it is called."""
        number = next(self._numbers)
        host = f"127.{64 + number // 62_500 % 128}.{number // 250 % 250 + 1}.{number % 250 + 1}"
        called = self._waiting[host] = trio.Event()
        return f"http://{host}:{self._port}", called

    async def _serve(self, stream: trio.SocketStream) -> None:
        name, bomb = next(self._bombs)
        host = stream.socket.getsockname()[0]
        try:
            path = (await read_request(stream)).split(b" ", 2)[1].decode("latin-1")
            await stream.send_all(ok(bomb))
            await stream.aclose()
        except (OSError, trio.BrokenResourceError, IndexError):
            self._sent.count("calls cut off")
            return
        self._sent.count(f"{path} answered with {name}")
        called = self._waiting.pop(host, None)
        if called is not None:
            called.set()


async def bomb_answers(manifest: Manifest, sent: Sent) -> None:
    """Announce new URLs at every manager, and answer its calls with bombs."""
    server = BombServer(sent)

    async def keep_announcing(victim: DevnetNode, first_call: trio.Event) -> None:
        while True:
            if await _announce(victim, server, sent):
                first_call.set()
            await trio.sleep(ANNOUNCE_PAUSE_SECONDS)

    async def check_first_call(victim: DevnetNode, first_call: trio.Event) -> None:
        with trio.move_on_after(FIRST_CALL_SECONDS):
            await first_call.wait()
            return
        sent.fault(f"the manager of {victim.name} calls no URL that is announced to it, so that it reads no answer")

    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        for victim in victims(manifest):
            first_call = trio.Event()
            nursery.start_soon(check_first_call, victim, first_call)
            for _ in range(ANNOUNCERS):
                nursery.start_soon(keep_announcing, victim, first_call)


async def _announce(victim: DevnetNode, server: BombServer, sent: Sent) -> bool:
    """Announce a new URL with a new key. Whether the manager has called it in time."""
    url, called = server.new_url()
    view = PartyInfo(url, (url,), {KeyPair.generate().public: url})
    await post(victim, PARTY_INFO_PATH, encode_orion_party_info(view), sent)
    with trio.move_on_after(CALLED_SECONDS):
        await called.wait()
        return True
    sent.count("announced URLs not called in time")
    return False


ATTACKS = (
    LoadAttack(
        "manager-answer-bombs",
        "CBOR bombs as answers from announced URLs",
        bomb_answers,
        MEMBER,
        kind=NetworkKind.PRIVATE,
    ),
)
