"""Which requests the developer endpoint serves: those of this machine, and of no page of another origin."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from lacnode.devnet import developer_endpoint
from lacnode.devnet.allowed_pages import ORIGINS
from lacnode.devnet.developer_endpoint import DeveloperEndpoint
from lacnode.devnet.request_forwarder import RequestForwarder
from lacnode.devnet.request_pause import RequestPause
from lacnode.http.http_messages import Request
from lacnode.rpc import reply_memory

BODY = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "evm_snapshot"})


async def snapshot(params: list[Any]) -> object:
    return "0x1"


def endpoint(origins: tuple[str, ...] = ORIGINS) -> DeveloperEndpoint:
    return DeveloperEndpoint(RequestForwarder(1, RequestPause()), {"evm_snapshot": snapshot}, origins)


def status(headers: Mapping[str, str], origins: tuple[str, ...] = ORIGINS) -> int | None:
    refused = endpoint(origins).answer_head(Request("POST", "/", {"host": "127.0.0.1:8545", **headers}))
    return None if refused is None else refused.status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost:3000@evil.example"},
        {"origin": "https://remixXethereum.org"},
        {"origin": "null"},
        {"origin": "http://localhost\u00e9"},
        {"host": "evil.example:8545"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
    ],
)
def test_a_page_of_another_origin_and_another_host_are_refused(headers: Mapping[str, str]) -> None:
    assert status(headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8545"},
        {"host": "[::1]:8545"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:5173"},
        {"origin": "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn"},
        {"origin": "https://remix.ethereum.org"},
    ],
)
def test_programs_pages_of_this_machine_wallets_and_remix_are_served(headers: Mapping[str, str]) -> None:
    assert status(headers) is None


def test_the_origins_are_the_users() -> None:
    assert status({"origin": "https://app.example"}, (r"https://app\.example",)) is None
    assert status({"origin": "http://localhost:3000"}, (r"https://app\.example",)) == 403


async def test_an_answer_names_the_origin_and_is_kept_for_no_other() -> None:
    headers = {"host": "localhost", "origin": "http://localhost:3000"}
    response = await endpoint().answer(Request("POST", "/", headers, BODY))
    assert orjson.loads(response.body)["result"] == "0x1"
    assert dict(response.headers) == {
        "content-type": "application/json",
        "access-control-allow-origin": "http://localhost:3000",
        "vary": "origin",
    }
    without = await endpoint().answer(Request("POST", "/", {"host": "localhost"}, BODY))
    assert "access-control-allow-origin" not in dict(without.headers)


class LongReplies(RequestForwarder):
    """A node that answers every call with a long text."""

    def __init__(self, length: int) -> None:
        super().__init__(1, RequestPause())
        self.calls = 0
        self._text = "a" * length

    async def call(self, method: str, *params: object) -> object:
        self.calls += 1
        return self._text


def batch(calls: int) -> Request:
    own = {"jsonrpc": "2.0", "id": 0, "method": "evm_snapshot"}
    others = [{"jsonrpc": "2.0", "id": number, "method": "eth_getLogs", "params": [{}]} for number in range(1, calls)]
    return Request("POST", "/", {"host": "localhost"}, orjson.dumps([own, *others]))


async def test_the_replies_of_a_batch_are_bounded() -> None:
    node = LongReplies(developer_endpoint.MAX_BATCH_REPLY_BYTES // 4)
    asked = DeveloperEndpoint(node, {"evm_snapshot": snapshot}, ORIGINS)
    replies = orjson.loads((await asked.answer(batch(30))).body)
    assert [reply["id"] for reply in replies] == list(range(30))
    assert node.calls == 4
    assert {reply["error"]["code"] for reply in replies[5:]} == {-32005}
    # The next batch has all the memory again.
    assert "error" not in orjson.loads((await asked.answer(batch(2))).body)[1]


async def test_the_replies_of_all_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_memory, "UNFINISHED_BYTES", 10_000)
    asked = DeveloperEndpoint(LongReplies(4_000), {"evm_snapshot": snapshot}, ORIGINS)
    replies = orjson.loads((await asked.answer(batch(8))).body)
    assert ["error" in reply for reply in replies] == [False] * 4 + [True] * 4
