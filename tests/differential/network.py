"""A devnet of five validators, two on each engine and one on both, under a mixed load: do they ever differ?

`python -m tests.differential.network [--minutes 60] [--rate 5] [--seed 1]`. The load: transfers, deployments of random
programs, and calls of what was deployed. Each transaction is a request of its own. A line a minute says how far
it is. The exit status is 1 if a block, a receipt or an engine's result differed.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address

from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.evm.engine_differences import DIFFERENCES_DIRECTORY
from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.rpc.json_rpc_client import NodeUnreachableError, block_number, call_all
from tests.differential.programs import Programs
from tests.support.devnet import Devnet, height, running_devnet, until

ENGINES = (EngineKind.NATIVE, EngineKind.NATIVE, EngineKind.PYTHON, EngineKind.PYTHON, EngineKind.BOTH)
ANSWER_SECONDS = 60.0
START_SECONDS = 120.0
MAX_CONTRACTS = 200
PROGRESS_SECONDS = 60.0
BLOCK_FIELDS = ("hash", "stateRoot", "receiptsRoot", "transactionsRoot", "logsBloom", "gasUsed", "miner")


class Load:
    """Random transactions of the devnet's accounts, and what became of them."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._urls = urls
        self._rng = random.Random(seed)
        self._accounts = funded_accounts()
        self._nonces = [0] * len(self._accounts)
        self._deployments: list[str] = []
        self._contracts: list[bytes] = []

    def send(self) -> None:
        """Send one transaction. An account goes on from its nonce at the node when one is refused."""
        number = self._rng.randrange(len(self._accounts))
        url = self._urls[number % len(self._urls)]
        kind, to, data, gas = self._contents()
        account = self._accounts[number]
        fields = {"nonce": self._nonces[number], "gasPrice": 0, "gas": gas, "value": 0, "data": data}
        if to:
            fields["to"] = to_checksum_address(to)
        signed = Account.sign_transaction({**fields, "chainId": CHAIN_ID}, account.private_key)
        (hash_,) = call_all(url, [("eth_sendRawTransaction", [to_hex(bytes(signed.raw_transaction))])], ANSWER_SECONDS)
        if not isinstance(hash_, str):
            (nonce,) = call_all(url, [("eth_getTransactionCount", [account.address, "pending"])], ANSWER_SECONDS)
            self._nonces[number] = int(str(nonce), 16)
            self.counts["refused"] += 1
            return
        self._nonces[number] += 1
        self.counts[kind] += 1
        if kind == "deployments":
            self._deployments = [*self._deployments, hash_][-MAX_CONTRACTS:]

    def learn_contracts(self) -> None:
        """Look for the receipts of deployments: their contracts are called from then on."""
        calls: list[tuple[str, list[object]]] = [("eth_getTransactionReceipt", [hash_]) for hash_ in self._deployments]
        found = call_all(self._urls[0], calls, ANSWER_SECONDS) if calls else []
        receipts = [receipt for receipt in found if isinstance(receipt, dict) and receipt["status"] == "0x1"]
        self._contracts = [from_hex(str(receipt["contractAddress"])) for receipt in receipts] or self._contracts

    def _contents(self) -> tuple[str, bytes, bytes, int]:
        rng, choice = self._rng, self._rng.random()
        if choice < 0.3:
            return "transfers", rng.randbytes(20), b"", 21_000
        programs = Programs(rng, [*self._contracts, *(from_hex(account.address) for account in self._accounts)])
        if choice < 0.5 or not self._contracts:
            return "deployments", b"", programs.init_code(), 1_000_000
        return "calls", rng.choice(self._contracts), rng.randbytes(rng.choice((0, 4, 36, 100))), 500_000


def main() -> int:
    arguments = _parsed()
    with tempfile.TemporaryDirectory() as directory:
        options = ("--validators", str(len(ENGINES)), "--block-period", "2")
        with running_devnet(Path(directory) / "net", *options) as network:
            urls = _on_engines(network)
            load = Load(urls, arguments.seed)
            print(f"engines: {', '.join(_versions(urls))}; seed {arguments.seed}", flush=True)
            _run(load, urls, arguments.minutes * 60, arguments.rate)
            found = _differences(network, urls)
    for line in found:
        print(line)
    print(f"{dict(load.counts)}: {len(found)} differences")
    return 1 if found else 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.network", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=5, help="transactions a second")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _on_engines(network: Devnet) -> list[str]:
    """Start each validator again on its engine. The addresses of the nodes."""
    network.command("stop")
    nodes = network.status()["nodes"]
    for node, kind in zip(nodes, ENGINES, strict=True):
        with (Path(node["data_path"]) / "config.toml").open("a") as file:
            file.write(f'\nevm = "{kind.value}"\n')
    network.command("start")
    urls = [str(node["rpc_url"]) for node in nodes]
    until(lambda: all(height(url) > 1 for url in urls), "the validators make blocks again", START_SECONDS)
    return urls


def _versions(urls: Sequence[str]) -> list[str]:
    return [str(call_all(url, [("web3_clientVersion", [])], ANSWER_SECONDS)[0]) for url in urls]


def _run(load: Load, urls: Sequence[str], seconds: float, rate: float) -> None:
    began = shown = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        load.send()
        if now - shown >= PROGRESS_SECONDS:
            shown = now
            load.learn_contracts()
            heads = [block_number(url) for url in urls]
            print(f"{(now - began) / 60:.0f} min, heads {heads}, {dict(load.counts)}", flush=True)
        elif not load.counts["calls"]:
            load.learn_contracts()
        time.sleep(1 / rate)


def _differences(network: Devnet, urls: Sequence[str]) -> list[str]:
    """A line for each block that differs between nodes, and for each difference that a node has written down."""
    paths = [Path(node["data_path"]) / DIFFERENCES_DIRECTORY for node in network.status()["nodes"]]
    found = [f"written down: {file}" for path in paths if path.exists() for file in path.iterdir()]
    last = min(block_number(url) for url in urls)
    for number in range(last + 1):
        blocks = [_block(url, number) for url in urls]
        fields = [[block[name] for name in BLOCK_FIELDS] for block in blocks]
        if any(each != fields[0] for each in fields):
            found.append(f"block {number} differs: {json.dumps(fields)}")
    print(f"{last + 1} blocks compared at {len(urls)} nodes")
    return found


def _block(url: str, number: int) -> dict[str, Any]:
    (found,) = call_all(url, [("eth_getBlockByNumber", [hex(number), True])], ANSWER_SECONDS)
    if not isinstance(found, dict):
        raise NodeUnreachableError(f"{url} shows no block {number}")
    return found


if __name__ == "__main__":
    sys.exit(main())
