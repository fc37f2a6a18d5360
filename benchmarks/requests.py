"""Requests a second and core over HTTP: one call a request, on one connection that stays open, to a validator on its own.

The processor time of the node and its readers counts, less what the node takes without requests. So the share of one
processor that a node gives to requests (`lacnode.rpc.request_runner:WORKER_SHARE`) does not limit the number, nor does other
work on the machine. The clock's steps of 10 ms are spread over a thousand calls.
"""

import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
from eth_abi.abi import encode as abi_encode
from eth_account import Account

from benchmarks.load import CONTRACTS
from benchmarks.measure import Measure
from benchmarks.networks import Network, devnet, processor_seconds
from lacnode.primitives.keccak import keccak256

CALLS = 1_000
IDLE_SECONDS = 5.0
AIMS = {"eth_blockNumber": 4_000, "eth_getBalance": 3_000, "eth_call": 2_000, "eth_sendRawTransaction": 1_000}


def measure() -> list[Measure]:
    """Requests a second of processor time, for each method, with the engine that `LACNODE_EVM` names."""
    engine = os.environ.get("LACNODE_EVM", "auto").lower()
    with devnet("--validators", "1", "--block-period", "2") as network:
        client = _Client(network)
        token = client.deploy()
        idle = client.idle_share()
        calls = _calls(network, token)
        return [_measured(client, name, calls[name], aim, idle, engine) for name, aim in AIMS.items()]


def _measured(
    client: "_Client", name: str, params: Iterator[list[object]], aim: float, idle: float, engine: str
) -> Measure:
    bodies = [_text(name, each) for each in itertools.islice(params, CALLS)]
    began, used = time.monotonic(), client.used_seconds()
    failed = sum(b'"error"' in client.post(body) for body in bodies)
    if failed:
        raise RuntimeError(f"{failed} calls of {name} ended in an error")
    seconds = time.monotonic() - began
    used = client.used_seconds() - used - idle * seconds
    note = f"{used / CALLS * 1e6:.0f} us of processor time a request; engine: {engine}"
    return Measure(f"{name}, requests a second and core", CALLS / used, "1/s", aim, note=note)


def _calls(network: Network, token: str) -> dict[str, Iterator[list[object]]]:
    address = network.accounts[0]["address"]
    balance_of = "0x" + (keccak256(b"balanceOf(address)")[:4] + abi_encode(["address"], [address])).hex()
    # Created before the clock runs: signing takes longer than what is measured.
    signed: list[list[object]] = [[_transfer(number)] for number in range(CALLS)]
    return {
        "eth_blockNumber": itertools.repeat([]),
        "eth_getBalance": itertools.repeat([address, "latest"]),
        "eth_call": itertools.repeat([{"to": token, "data": balance_of}, "latest"]),
        "eth_sendRawTransaction": iter(signed),
    }


def _transfer(number: int) -> str:
    """The first transaction of an account of its own. Gas costs nothing in a devnet."""
    fields = {"nonce": 0, "gasPrice": 0, "gas": 21_000, "value": 0, "data": b"", "chainId": 648_555, "to": bytes(20)}
    key = keccak256(b"sender %d" % number)
    return "0x" + bytes(Account.sign_transaction(fields, key).raw_transaction).hex()


def _text(method: str, params: list[object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


class _Client:
    """One connection to the first node, and the processor time of that node."""

    def __init__(self, network: Network) -> None:
        node = network.nodes[0]
        url = urlsplit(node["rpc_url"])
        self._host = f"{url.hostname}:{url.port}".encode()
        self._socket = socket.create_connection((url.hostname or "", url.port or 0), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._process = psutil.Process(node["pid"])
        self._key = network.accounts[0]["private_key"]

    def post(self, body: bytes) -> bytes:
        """The body of the answer to a request as common clients send it."""
        head = b"POST / HTTP/1.1\r\nHost: %b\r\nAccept: */*\r\n" % self._host
        head += b"Connection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._socket.sendall(head + body)
        read = b""
        while b"\r\n\r\n" not in read:
            read += self._socket.recv(65_536)
        head, _, answer = read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(answer) < length:
            answer += self._socket.recv(65_536)
        return answer

    def call(self, method: str, *params: object) -> object:
        """The result of one call."""
        return json.loads(self.post(_text(method, list(params))))["result"]

    def deploy(self) -> str:
        """Deploy the token. Its address."""
        code = json.loads((CONTRACTS / "Token.json").read_text())["bytecode"]
        data = bytes.fromhex(code[2:]) + abi_encode(["uint256"], [10**30])
        fields = {"nonce": 0, "gasPrice": 0, "gas": 3_000_000, "value": 0, "data": data, "chainId": 648_555}
        raw = "0x" + bytes(Account.sign_transaction(fields, self._key).raw_transaction).hex()
        hash_ = self.call("eth_sendRawTransaction", raw)
        return str(_awaited(lambda: self.call("eth_getTransactionReceipt", hash_))["contractAddress"])

    def idle_share(self) -> float:
        """The processor seconds a second that the node takes without requests."""
        used = self.used_seconds()
        time.sleep(IDLE_SECONDS)
        return (self.used_seconds() - used) / IDLE_SECONDS

    def used_seconds(self) -> float:
        """The processor time of the node and its readers so far."""
        return processor_seconds([self._process])


def _awaited(found: Callable[[], object]) -> dict[str, object]:
    for _ in range(300):
        result = found()
        if isinstance(result, dict):
            return result
        time.sleep(0.1)
    raise RuntimeError("the contract was not deployed within 30 s")


if __name__ == "__main__":
    for result in measure():
        print(f"{result.name}: {result.value:.0f} {result.unit} ({result.verdict}; {result.note})")
