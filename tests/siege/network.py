"""The network under attack: four validators as processes, and two writers where it is private, on ports and under a path of
its own."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from lacnode.devnet import processes
from lacnode.devnet.devnet_genesis import LACCHAIN_FORK
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.manager_files import CONFIG_FILE
from lacnode.devnet.manifest import DevnetNode, Manifest, NetworkShape, make_devnet
from lacnode.rpc.json_rpc_client import CallRefusedError, NodeUnreachableError, call
from lacnode.storage.atomic_file import replace_text

VALIDATORS, WRITERS = 4, 2
START_SECONDS = 60.0
HEALTH_SECONDS = 30.0
"""How long a network may take to make blocks as usual when an attack is over."""

HEALTHY_BLOCKS = 4
SPREAD_BLOCKS = 2
"""How far apart the heads of healthy nodes may be."""

STOP_PATIENCE_SECONDS = 12.0

UNKNOWN_KEYS_MEGABYTES = 240
"""The quota of a manager for payloads of unknown keys. One key has a sixteenth: one payload of 15 MB. The default is
1,024, and no attack could fill it in a minute."""


class NetworkKind(Enum):
    """What a network has beside four validators.

    PRIVATE and FLEXIBLE have two writers with transaction managers. In PERMISSIONED, lacnode's account contract decides who
    may send. Any node may connect in all kinds, so that the watch can.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    FLEXIBLE = "flexible"
    PERMISSIONED = "permissioned"

    @property
    def has_managers(self) -> bool:
        return self in (NetworkKind.PRIVATE, NetworkKind.FLEXIBLE)


@dataclass
class SiegeNetwork:
    """`manifest` says where everything is; it is another one after `renew`."""

    root: Path
    block_period: float
    port_offset: int
    manifest: Manifest
    generation: int = 0
    kind: NetworkKind = NetworkKind.PUBLIC

    @property
    def nodes(self) -> tuple[DevnetNode, ...]:
        return self.manifest.nodes

    def start(self, node: DevnetNode, change: str | None = None) -> None:
        """Start `node`; with `change` it runs code that `modified_validator.py` has changed so."""
        module = ["lacnode"] if change is None else ["tests.siege.modified_validator", change]
        with node.log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module, "--config-file", str(node.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        replace_text(node.pid_file, f"{process.pid}\n")
        process.returncode = (
            0  # It is waited for by its pid file; without this the object would warn that it still runs.
        )

    def start_all(self, modified: Mapping[str, str] | None = None) -> None:
        """Start every node."""
        for node in self.nodes:
            self.start(node, (modified or {}).get(node.name))

    def wait_for_first_block(self) -> None:
        """DevnetError if block 1 is not on every node in time."""
        processes.wait_for_block(self.nodes, 1, START_SECONDS)

    def stop_all(self) -> None:
        """Stop every node; kill those that do not stop."""
        processes.stop_all(self.nodes)

    def renew(
        self,
        modified: Mapping[str, str] | None = None,
        *,
        waiting: bool = True,
        kind: NetworkKind = NetworkKind.PUBLIC,
    ) -> None:
        """Replace the network by a new one of a `kind`, without history, on the same ports. DevnetError if it makes no
        block, where that is waited for."""
        self.kill_all()
        self.generation += 1
        self.kind = kind
        self.manifest = _made(self.root, self.generation, self.block_period, self.port_offset, kind)
        self.start_all(modified)
        if waiting:
            self.wait_for_first_block()

    def kill_all(self) -> None:
        """`kill -9` every node that runs."""
        for node in self.nodes:
            if processes.find_pid(node) is not None:
                processes.kill(node)

    def stop_in(self, node: DevnetNode) -> float:
        """Send SIGTERM; the seconds until the node is gone. It is killed if that takes longer than the patience."""
        pid = processes.find_pid(node)
        assert pid is not None, f"{node.name} does not run"
        begin = time.monotonic()
        subprocess.run(["kill", "-TERM", str(pid)], check=True)
        while processes.find_pid(node) is not None and time.monotonic() - begin < STOP_PATIENCE_SECONDS:
            processes._reap_children()
            time.sleep(processes.POLL_SECONDS)
        taken = time.monotonic() - begin
        if processes.find_pid(node) is not None:
            processes.kill(node)
        return taken

    def is_healthy(self, seconds: float = HEALTH_SECONDS) -> bool:
        """Whether all nodes run, agree about their heads, and make blocks in the usual time."""
        deadline = time.monotonic() + max(seconds, 3 * HEALTHY_BLOCKS * self.block_period)
        while time.monotonic() < deadline:
            begin = [height(node) for node in self.nodes]
            time.sleep(HEALTHY_BLOCKS * self.block_period)
            end = [height(node) for node in self.nodes]
            moved = min(end) - min(begin) >= HEALTHY_BLOCKS - 1 and min(begin) >= 0
            if moved and max(end) - min(end) <= SPREAD_BLOCKS:
                return True
        return False


def height(node: DevnetNode, timeout: float = 2.0) -> int:
    """The head of `node`, -1 while it does not answer."""
    found = ask(node, "eth_blockNumber", timeout=timeout)
    return int(found, 16) if isinstance(found, str) else -1


def block_hash(node: DevnetNode, number: int) -> object:
    """The hash of a block as `node` gives it, None where it has none or does not answer."""
    found = ask(node, "eth_getBlockByNumber", hex(number), False)
    return found.get("hash") if isinstance(found, dict) else None


def ask(node: DevnetNode, method: str, *params: object, timeout: float = 10.0) -> object:
    """The result of a call, None if it ends in an error or no answer comes."""
    try:
        return call(node.rpc_url, method, params, timeout)
    except (NodeUnreachableError, CallRefusedError):
        return None


def wait_for(node: DevnetNode, number: int, seconds: float) -> bool:
    """Whether `node` has block `number` within so many seconds."""
    deadline = time.monotonic() + seconds
    while height(node) < number:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def running_network(block_period: float = 1.0, *, kind: NetworkKind = NetworkKind.PUBLIC) -> Iterator[SiegeNetwork]:
    """A new network of a `kind` that runs, and is stopped however the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="lacnode-siege-") as directory,
        claim_port_offset(VALIDATORS + WRITERS) as port_offset,
    ):
        root = Path(directory)
        manifest = _made(root, 0, block_period, port_offset, kind)
        network = SiegeNetwork(root, block_period, port_offset, manifest, kind=kind)
        try:
            network.start_all()
            network.wait_for_first_block()
            yield network
        finally:
            network.stop_all()


def _shape(kind: NetworkKind) -> NetworkShape:
    # LACChain's rules: some attacks send init codes that are longer than Shanghai permits.
    shape = NetworkShape(VALIDATORS, fork=LACCHAIN_FORK, permissioned=kind is NetworkKind.PERMISSIONED)
    if not kind.has_managers:
        return shape
    return replace(shape, writers=WRITERS, privacy=True, flexible_groups=kind is NetworkKind.FLEXIBLE)


def _made(root: Path, generation: int, block_period: float, port_offset: int, kind: NetworkKind) -> Manifest:
    manifest = make_devnet(root / f"network-{generation}", _shape(kind), block_period, port_offset)
    for node in manifest.nodes:
        if node.privacy_key is not None:
            with (node.privacy_directory / CONFIG_FILE).open("a", encoding="utf-8") as config:
                config.write(f"unknownkeysmegabytes={UNKNOWN_KEYS_MEGABYTES}\n")
        if kind is NetworkKind.PERMISSIONED:
            _let_any_node_connect(node)
    return manifest


def _let_any_node_connect(node: DevnetNode) -> None:
    """Switch the contract of nodes off: the watch is a node that no contract has on its list."""
    name = "permissions-nodes-contract-enabled="
    lines = node.config_file.read_text("utf-8").splitlines()
    changed = [name + json.dumps(False) if line.startswith(name) else line for line in lines]
    node.config_file.write_text("\n".join(changed) + "\n", "utf-8")
