"""Networks of this project's nodes and nodes of another project on this machine. `MixedNode` is one node of either kind.

The other kinds: `goquorum_network.py` and `besu_network.py`. What such a network did: `mixed_chain.py`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.header_rules import MIX_HASH
from lacnode.consensus.protocols import PROTOCOLS
from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import funded_accounts

DEADLINE = 120
CHAIN_ID = 1337
BERLIN: Mapping[str, Any] = dict.fromkeys(
    (
        "homesteadBlock",
        "eip150Block",
        "eip155Block",
        "eip158Block",
        "byzantiumBlock",
        "constantinopleBlock",
        "petersburgBlock",
        "istanbulBlock",
        "berlinBlock",
    ),
    0,
)


def program_of(variable: str, what: str) -> str:
    """The path in an environment variable. Skips the test, with the reason, where it names no file."""
    path = os.environ.get(variable, "")
    if not path or not Path(path).is_file():
        pytest.skip(f"{variable} names no {what}")
    return str(Path(path).absolute())


def mixed_genesis(
    protocol: str, validators: Sequence[bytes], config: Mapping[str, Any], vanity: bytes = b""
) -> dict[str, Any]:
    """A genesis with funded accounts. `protocol` is the name of the one of block 1, and `config` has forks and sections."""
    extra = ExtraData(vanity.ljust(32, b"\0"), tuple(sorted(validators)))
    return {
        "config": {"chainId": CHAIN_ID, **config},
        "nonce": "0x0",
        "timestamp": hex(int(time.time()) - 1),
        "extraData": "0x" + PROTOCOLS[protocol].encode_extra_data(extra).hex(),
        "gasLimit": "0xE0000000",
        "difficulty": "0x1",
        "mixHash": "0x" + MIX_HASH.hex(),
        "coinbase": "0x" + "00" * 20,
        "alloc": {account.address: {"balance": hex(10**24)} for account in funded_accounts()},
    }


class MixedNode:
    """One node of either kind in a directory of its own. `command` runs it in the foreground."""

    def __init__(self, name: str, path: Path, secret: bytes, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.path = path
        self.secret = secret
        self.key = NodeKey.from_private_key(secret)
        self.p2p_port, self.http_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, **(environment or {})}
        path.mkdir(parents=True, exist_ok=True)

    @property
    def enode(self) -> str:
        return f"enode://{self.key.public_key.hex()}@127.0.0.1:{self.p2p_port}"

    def prepare(self, genesis: Path, peers: Sequence[str]) -> None:
        """Write what the node reads when it starts."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.path / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.path, env=self._environment
            )

    def kill(self) -> None:
        """End the process without warning, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE)
            self.process = None

    def pause(self) -> None:
        """Stop the process where it is. Its connections stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def call(self, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC method. AssertionError for an error, OSError while the node is not up."""
        answer = self.reply(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def reply(self, method: str, *params: Any) -> dict[str, Any]:
        """The answer of a JSON-RPC method, with `result` or `error`. OSError while the node is not up."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def height(self) -> int:
        """The number of the head. -1 while the node is not up."""
        try:
            return int(self.call("eth_blockNumber"), 16)
        except OSError:
            return -1

    def block(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.call("eth_getBlockByNumber", hex(number), False)
        return found


class LacnodeNode(MixedNode):
    """A node of this project. `options` are added to its command."""

    def __init__(self, name: str, path: Path, secret: bytes, options: Sequence[str] = ()) -> None:
        super().__init__(name, path, secret)
        self._options = options
        self._genesis = path

    def prepare(self, genesis: Path, peers: Sequence[str]) -> None:
        save_node_key(self.path / "key", self.key)
        (self.path / "static-nodes.json").write_text(json.dumps(list(peers)))
        self._genesis = genesis

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "lacnode", f"--data-path={self.path}", f"--genesis-file={self._genesis}"),
            *("--discovery-enabled=false", "--p2p-host=127.0.0.1", "--p2p-interface=127.0.0.1"),
            *(f"--p2p-port={self.p2p_port}", "--rpc-http-enabled", f"--rpc-http-port={self.http_port}"),
            *("--rpc-http-api=ETH,NET,IBFT,QBFT,ADMIN,DEBUG", "--min-gas-price=0", "--nat-method=NONE"),
            *self._options,
        ]


@contextmanager
def running_network(
    path: Path, genesis: Mapping[str, Any], nodes: Sequence[MixedNode], later: Sequence[MixedNode] = ()
) -> Iterator[None]:
    """Run `nodes`, each a static peer of all others. Those of `later` are started by the test. All are killed at the end."""
    everyone = [*nodes, *later]
    genesis_file = path / "genesis.json"
    genesis_file.write_text(json.dumps(genesis))
    try:
        for node in everyone:
            node.prepare(genesis_file, [other.enode for other in everyone if other is not node])
        for node in nodes:
            node.start()
        yield
    finally:
        for node in everyone:
            node.kill()


def wait_for(
    condition: Callable[[], object], what: str, nodes: Sequence[MixedNode] = (), seconds: float = DEADLINE
) -> None:
    """Wait until `condition` is true. The error has the end of the logs of `nodes`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    logs = "\n".join(f"--- {node.name}\n{(node.path / 'log').read_text()[-1500:]}" for node in nodes)
    raise AssertionError(f"not within {seconds} s: {what}; {[(node.name, node.height()) for node in nodes]}\n{logs}")


def wait_for_height(nodes: Sequence[MixedNode], height: int, seconds: float = DEADLINE) -> None:
    wait_for(lambda: all(node.height() >= height for node in nodes), f"all have block {height}", nodes, seconds)


def differing_blocks(nodes: Sequence[MixedNode], first: int, last: int) -> list[int]:
    """The numbers of the blocks whose hash, roots or gas differ between `nodes`."""
    fields = ("hash", "stateRoot", "receiptsRoot", "transactionsRoot", "gasUsed", "timestamp")

    def seen(node: MixedNode, number: int) -> list[Any]:
        block = node.block(number)
        return [block[name] for name in fields]

    return [n for n in range(first, last + 1) if any(seen(node, n) != seen(nodes[0], n) for node in nodes[1:])]


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
