"""Managers that answer slowly may take many of the places for calls to other managers. Those for deliveries stay free."""

from functools import partial
from itertools import cycle, islice

import pytest
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.proven_requests import CHALLENGE_PATH
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH
from lacnode.privacy.manager.state_root_exchange import ROOTS_PATH
from lacnode.privacy.service import peer_client
from lacnode.privacy.service.peer_client import HttpPeerSender

DEADLINE = 10.0
PLACES, PLACES_FOR_DELIVERIES = 32, 8
DELIVERIES = (PUSH_PATH, PUSH_WITH_BOXES_PATH, PUSH_GROUP_PATH, PUSH_PROVEN_GROUP_PATH, PROVE_PATH)
OTHERS = (PARTY_INFO_PATH, CHALLENGE_PATH, RECOVER_PATH, ROOTS_PATH)


class SlowManager:
    """Answers deliveries, and keeps all other calls waiting. `is_full` is set when these take all places that they may."""

    def __init__(self) -> None:
        self.waiting = 0
        self.is_full = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        request = bytes(await stream.receive_some())
        if request.split(b" ")[1].decode() in DELIVERIES:
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return
        self.waiting += 1
        if self.waiting == PLACES - PLACES_FOR_DELIVERIES:
            self.is_full.set()
        await trio.sleep_forever()


@pytest.mark.parametrize("path", DELIVERIES)
async def test_a_delivery_goes_out_while_all_other_calls_wait(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_client, "ANSWER_SECONDS", 10 * DEADLINE)
    manager = SlowManager()
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, manager.serve, 0, host="127.0.0.1"))
            url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            sender = HttpPeerSender(None, AddressPolicy([url]))
            await nursery.start(sender.run)
            for other in islice(cycle(OTHERS), 2 * PLACES):
                nursery.start_soon(sender.post_in_event_loop, other, {url: b"question"})
            await manager.is_full.wait()
            assert await sender.post_in_event_loop(path, {url: b"delivery"}) == {url: b"ok"}
            assert manager.waiting == PLACES - PLACES_FOR_DELIVERIES
            nursery.cancel_scope.cancel()
