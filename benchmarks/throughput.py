"""What a four-validator devnet on this machine carries for a minute with blocks every two seconds.

A rate counts as held if the 95th percentile of block intervals stays at 2.5 s or less and the transactions sent are mined.
Rates are tried upward until one is not held; the load generator shares the machine with the validators.
"""

import http.client
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_utils.address import to_checksum_address

from benchmarks.engines import CALLED, CODES, relay_code
from benchmarks.measure import Measure
from benchmarks.networks import Network, devnet
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.rpc.json_rpc_client import block_number, call_all

SECONDS = 60.0
MAX_INTERVAL = 2.5
BATCH_SECONDS = 0.25
WORK_SLOTS = 5
"""Storage slots that a call of `Work.run` writes: about 123,000 gas."""

CONTRACTS = Path(__file__).parents[1] / "examples" / "contracts"
LOADS: dict[str, tuple[Sequence[int], float]] = {
    "transfers": ((100, 150, 200, 300, 400, 500), 150),
    "ERC-20 transfers": ((60, 80, 110, 150, 200, 250), 80),
    "calls of about 123,000 gas": ((30, 40, 60, 80, 110), 40),
}


def measure() -> list[Measure]:
    """The highest rate held for each kind of transaction, in transactions a second."""
    return [_highest(name, rates, aim) for name, (rates, aim) in LOADS.items()]


def _highest(name: str, rates: Sequence[int], aim: float) -> Measure:
    held, note = 0.0, "none of the rates tried was held"
    for rate in rates:
        with devnet("--block-period", "2") as network:
            mined, interval = _hold(network, name, rate)
        print(f"  {name} at {rate}/s: {mined:.0f}/s mined, p95 interval {interval:.2f} s", flush=True)
        if interval > MAX_INTERVAL or mined < 0.95 * rate:
            break
        held, note = float(rate), f"{mined:.0f}/s mined over {SECONDS:.0f} s, p95 block interval {interval:.2f} s"
    return Measure(f"highest rate held: {name}", held, "tx/s", aim, note=note)


def _hold(network: Network, name: str, rate: int) -> tuple[float, float]:
    """Send `rate` transactions a second; how many were mined a second, and the 95th percentile of block intervals."""
    sender = Sender(network)
    load = sender.load(name)
    url = network.nodes[0]["rpc_url"]
    signed = [list(itertools.islice(load, round(rate * BATCH_SECONDS))) for _ in range(round(SECONDS / BATCH_SECONDS))]
    first = block_number(url)
    started = time.monotonic()
    for number, batch in enumerate(signed):
        time.sleep(max(0.0, started + number * BATCH_SECONDS - time.monotonic()))
        sender.send(network.nodes[number % len(network.nodes)]["rpc_url"], batch)
    last = block_number(url)
    time.sleep(2 * MAX_INTERVAL)
    blocks = [block_shown(url, number) for number in range(first + 1, block_number(url) + 1)]
    mined = sum(len(block["transactions"]) for block in blocks)
    arrivals = [int(block["timestamp"], 16) for block in blocks[: last - first]]
    intervals = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    return mined / SECONDS, statistics.quantiles(intervals, n=20)[-1] if len(intervals) > 1 else float("inf")


def block_shown(url: str, number: int) -> dict[str, Any]:
    """The block `number` as `eth_getBlockByNumber` shows it."""
    (found,) = call_all(url, [("eth_getBlockByNumber", [hex(number), False])], timeout=20)
    assert isinstance(found, dict)
    return found


class Sender:
    """Signs ahead of time and sends in batches, from one funded account a node."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._keys = [account["private_key"] for account in network.accounts]
        self._url = network.nodes[0]["rpc_url"]
        self._nonces = [0] * len(self._keys)

    def load(self, name: str) -> Iterator[str]:
        """Signed transactions of a kind, without end, each account's in turn."""
        if name == "transfers":
            return (self._sign(n % len(self._keys), _recipient(n), 1, b"", 21_000) for n in itertools.count())
        if name.startswith("ERC-20"):
            token = self._deploy("Token", abi_encode(["uint256"], [10**30]))
            for index in range(1, len(self._keys)):
                self._fund(token, index)
            return (self._sign(n % len(self._keys), token, 0, _transfer(n), 100_000) for n in itertools.count())
        if name.startswith("relay-like"):
            relay = self._deploy_code(relay_code(self._deploy_code(CODES[CALLED])))
            inputs = [keccak256(b"call %d" % n) + bytes(96) for n in range(1_000)]
            return (
                self._sign(n % len(self._keys), to_hex(relay), 0, inputs[n % 1_000], 200_000) for n in itertools.count()
            )
        work = self._deploy("Work", b"")
        data = keccak256(b"run(uint256)")[:4] + abi_encode(["uint256"], [WORK_SLOTS])
        return (self._sign(n % len(self._keys), work, 0, data, 250_000) for n in itertools.count())

    def _fund(self, token: str, index: int) -> None:
        address = Account.from_key(self._keys[index]).address
        data = keccak256(b"transfer(address,uint256)")[:4] + abi_encode(["address", "uint256"], [address, 10**28])
        self._wait(self._sign(0, token, 0, data, 100_000))

    def _deploy(self, name: str, arguments: bytes) -> str:
        artifact = json.loads((CONTRACTS / f"{name}.json").read_text())
        raw = self._sign(0, None, 0, bytes.fromhex(artifact["bytecode"][2:]) + arguments, 3_000_000)
        return str(self._wait(raw)["contractAddress"])

    def _deploy_code(self, code: bytes) -> bytes:
        """Deploy `code` as it is. Its address."""
        size = len(code).to_bytes(2)
        receipt = self._wait(
            self._sign(0, None, 0, b"\x61" + size + bytes.fromhex("80600c6000396000f3") + code, 3_000_000)
        )
        return from_hex(str(receipt["contractAddress"]))

    def _wait(self, raw: str) -> dict[str, object]:
        (hash_,) = call_all(self._url, [("eth_sendRawTransaction", [raw])])
        while True:
            (receipt,) = call_all(self._url, [("eth_getTransactionReceipt", [hash_])])
            if isinstance(receipt, dict):
                return receipt
            time.sleep(0.1)

    def _sign(self, index: int, to: str | None, value: int, data: bytes, gas: int) -> str:
        fields = {
            "nonce": self._nonces[index],
            "gasPrice": 0,
            "gas": gas,
            "value": value,
            "data": data,
            "chainId": 648_555,
        }
        if to is not None:
            fields["to"] = to_checksum_address(to)
        self._nonces[index] += 1
        return "0x" + bytes(Account.sign_transaction(fields, self._keys[index]).raw_transaction).hex()

    def send(self, url: str, batch: Sequence[str]) -> None:
        """Send `batch` as one JSON-RPC batch."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [raw]}
            for n, raw in enumerate(batch)
        ]
        connection.request("POST", "/", json.dumps(calls), {"Content-Type": "application/json"})
        replies = json.loads(connection.getresponse().read())
        connection.close()
        failed = [reply["error"] for reply in replies if "error" in reply]
        if failed:
            raise RuntimeError(f"{len(failed)} transactions refused, the first: {failed[0]}")


def _recipient(number: int) -> str:
    return "0x" + keccak256(b"load %d" % (number % 1000))[:20].hex()


def _transfer(number: int) -> bytes:
    return keccak256(b"transfer(address,uint256)")[:4] + abi_encode(["address", "uint256"], [_recipient(number), 1])
