"""A load on a network: transactions of many accounts, signed ahead, sent one a request or in batches, at a steady rate."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_utils.address import to_checksum_address

from benchmarks.engines import CALLED, CODES, relay_code, relay_input
from benchmarks.execution import TRANSFER
from benchmarks.networks import Network
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.rpc.json_rpc_client import call_all
from tests.support.private_nodes import deploying

SENDERS = 40
BATCH_TRANSACTIONS = 100
DEPLOYMENT_GAS = 3_000_000
TRANSFERS, TOKENS, RELAY_CALLS = "transfers", "ERC-20 transfers", "relay-like calls"
CONTRACTS = Path(__file__).parents[1] / "examples" / "contracts"
_RECEIPT_SECONDS = 60.0


@dataclass(frozen=True)
class Signed:
    """A signed transaction as digits after 0x, and the number of its sender."""

    sender: int
    raw: str


@dataclass(frozen=True)
class Sending:
    """How long the sending took by the clock, and the processor time of the generator."""

    seconds: float
    processor_seconds: float


class LoadGenerator:
    """`SENDERS` accounts of a network. Each sends to one node: another one would have to wait for its earlier nonces."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._keys = [to_hex(keccak256(b"sender %d" % number)) for number in range(SENDERS)]
        self._nonces = dict.fromkeys([*self._keys, network.accounts[0]["private_key"]], 0)
        self._funder = network.accounts[0]["private_key"]
        (chain_id,) = call_all(self._url(0), [("eth_chainId", [])])
        self._chain_id = int(str(chain_id), 16)

    def prepare(self, kind: str, count: int) -> list[Signed]:
        """Give the accounts what they need, deploy the contract of `kind` and sign `count` transactions."""
        self._fund([(Account.from_key(key).address, 10**18, b"") for key in self._keys])
        return list(itertools.islice(self._transactions(kind), count))

    def send_singly(self, transactions: Sequence[Signed], rate: float) -> Sending:
        """Send `rate` transactions a second, one a request, on one connection for each account."""
        streams = [
            (self._url(sender), [[signed.raw] for signed in transactions[sender::SENDERS]], rate / SENDERS)
            for sender in range(SENDERS)
        ]
        return _send_all(streams)

    def send_in_batches(self, transactions: Sequence[Signed], rate: float) -> Sending:
        """Send `rate` transactions a second in batches of `BATCH_TRANSACTIONS`, on one connection for each node."""
        count = len(self._network.nodes)
        streams = []
        for node in range(count):
            own = [signed.raw for signed in transactions if signed.sender % count == node]
            batches = [own[start : start + BATCH_TRANSACTIONS] for start in range(0, len(own), BATCH_TRANSACTIONS)]
            streams.append((self._url(node), batches, rate / count / BATCH_TRANSACTIONS))
        return _send_all(streams)

    def _transactions(self, kind: str) -> Iterator[Signed]:
        if kind == TRANSFERS:
            return (self._of_sender(n, _recipient(n), 1, b"", 21_000) for n in itertools.count())
        if kind == TOKENS:
            artifact = json.loads((CONTRACTS / "Token.json").read_text())
            token = self._deploy(from_hex(artifact["bytecode"]) + abi_encode(["uint256"], [10**30]))
            own = [Account.from_key(key).address for key in self._keys]
            self._fund([(token, 0, _transfer_call(address, 10**24)) for address in own])
            return (self._of_sender(n, token, 0, _transfer_call(_recipient(n), 1), 100_000) for n in itertools.count())
        called = from_hex(self._deploy(deploying(CODES[CALLED])))
        relay = self._deploy(deploying(relay_code(called)))
        inputs = [relay_input(n) for n in range(1_000)]
        return (self._of_sender(n, relay, 0, inputs[n % 1_000], 200_000) for n in itertools.count())

    def _of_sender(self, number: int, to: str, value: int, data: bytes, gas: int) -> Signed:
        sender = number % SENDERS
        return Signed(sender, self._sign(self._keys[sender], to, value, data, gas))

    def _fund(self, calls: Sequence[tuple[str, int, bytes]]) -> None:
        self._wait([self._sign(self._funder, to, value, data, 100_000) for to, value, data in calls])

    def _deploy(self, creation: bytes) -> str:
        (receipt,) = self._wait([self._sign(self._funder, None, 0, creation, DEPLOYMENT_GAS)])
        return str(receipt["contractAddress"])

    def _wait(self, raws: Sequence[str]) -> list[dict[str, Any]]:
        """Send transactions to the first node, and wait for their receipts on all nodes. RuntimeError if one fails."""
        hashes = call_all(self._url(0), [("eth_sendRawTransaction", [raw]) for raw in raws])
        return [self._receipts(node, hashes) for node in range(len(self._network.nodes))].pop()

    def _receipts(self, node: int, hashes: Sequence[object]) -> list[dict[str, Any]]:
        end = time.monotonic() + _RECEIPT_SECONDS
        while time.monotonic() < end:
            found = call_all(self._url(node), [("eth_getTransactionReceipt", [hash_]) for hash_ in hashes])
            receipts = [receipt for receipt in found if isinstance(receipt, dict)]
            if len(receipts) == len(hashes):
                if any(receipt["status"] != "0x1" for receipt in receipts):
                    raise RuntimeError("a transaction that prepares the load failed")
                return receipts
            time.sleep(0.1)
        raise RuntimeError(f"a transaction that prepares the load was not mined within {_RECEIPT_SECONDS:.0f} s")

    def _sign(self, key: str, to: str | None, value: int, data: bytes, gas: int) -> str:
        nonce = self._nonces[key]
        self._nonces[key] += 1
        fields = {"nonce": nonce, "gasPrice": 0, "gas": gas, "value": value, "data": data, "chainId": self._chain_id}
        if to is not None:
            fields["to"] = to_checksum_address(to)
        return to_hex(bytes(Account.sign_transaction(fields, key).raw_transaction))

    def _url(self, number: int) -> str:
        return str(self._network.nodes[number % len(self._network.nodes)]["rpc_url"])


def _send_all(streams: Sequence[tuple[str, Sequence[Sequence[str]], float]]) -> Sending:
    """Send each stream of requests at its rate, all at once. RuntimeError if a transaction is refused."""
    failures: list[str] = []
    began, used = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=_send_stream, args=(*stream, began, failures)) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{len(failures)} connections had a transaction refused, the first: {failures[0]}")
    return Sending(time.monotonic() - began, time.process_time() - used)


def _send_stream(url: str, requests: Sequence[Sequence[str]], rate: float, began: float, failures: list[str]) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        for number, raws in enumerate(requests):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            _post(connection, raws)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        failures.append(str(error))
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, raws: Sequence[str]) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": [raw]}
        for number, raw in enumerate(raws)
    ]
    body = json.dumps(calls if len(calls) > 1 else calls[0])
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    for reply in answer if isinstance(answer, list) else [answer]:
        if "error" in reply:
            raise RuntimeError(str(reply["error"]))


def _recipient(number: int) -> str:
    return to_hex(keccak256(b"load %d" % (number % 1000))[:20])


def _transfer_call(to: str, amount: int) -> bytes:
    return TRANSFER + abi_encode(["address", "uint256"], [to, amount])
