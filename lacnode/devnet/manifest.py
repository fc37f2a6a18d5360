"""What a devnet is made of, as it stands in `devnet.json` under its data path: nodes, ports, keys, accounts.

Written once, when the devnet is made; every later command reads it. Whether a node runs is not in it: that is the pid
file's and the process table's.
"""

import json
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import Account, funded_accounts
from lacnode.devnet.genesis import CHAIN_ID, devnet_genesis
from lacnode.devnet.ports import MAX_NODES, NodePorts, node_ports
from lacnode.primitives.hexadecimal import to_hex

FILE_NAME = "devnet.json"
FORMAT = 1


class DevnetError(Exception):
    """A devnet that cannot be made, found or run; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class DevnetNode:
    """One node: where it listens (all on 127.0.0.1) and where its files are."""

    name: str
    role: str
    address: str
    enode: str
    rpc_url: str
    ws_url: str
    p2p_port: int
    rpc_port: int
    ws_port: int
    data_path: str

    @property
    def directory(self) -> Path:
        return Path(self.data_path)

    @property
    def pid_file(self) -> Path:
        return self.directory / "node.pid"

    @property
    def log_file(self) -> Path:
        return self.directory / "node.log"

    @property
    def config_file(self) -> Path:
        return self.directory / "config.toml"

    @property
    def faults_file(self) -> Path:
        """JSON list of the node ids that this node is cut off from."""
        return self.directory / "faults.json"

    @property
    def node_id(self) -> str:
        """128 hexadecimal digits."""
        return self.enode.removeprefix("enode://").partition("@")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A devnet on disk."""

    path: Path
    block_period: float
    port_offset: int
    nodes: tuple[DevnetNode, ...]
    accounts: tuple[Account, ...]

    @property
    def genesis_file(self) -> Path:
        return self.path / "genesis.json"

    def node(self, name: str) -> DevnetNode:
        """The node called `name`; DevnetError naming those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise DevnetError(f"no node {name!r} in this devnet; there are {', '.join(n.name for n in self.nodes)}")


def load_manifest(path: Path) -> Manifest | None:
    """The devnet under `path`, None if there is none; DevnetError if its manifest is damaged."""
    file = path / FILE_NAME
    try:
        document = json.loads(file.read_text("utf-8"))
        if document["format"] != FORMAT:
            raise DevnetError(f"{file} has format {document['format']}, this release reads {FORMAT}")
        return Manifest(
            path=path,
            block_period=float(document["block_period"]),
            port_offset=int(document["port_offset"]),
            nodes=tuple(DevnetNode(**node) for node in document["nodes"]),
            accounts=tuple(Account(**account) for account in document["accounts"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DevnetError(f"{file} is damaged ({error}); remove {path} to start anew") from None


def check_network(validators: int, block_period: float) -> None:
    """Raise DevnetError unless a devnet may have that many validators and that many seconds between blocks."""
    if not 1 <= validators <= MAX_NODES:
        raise DevnetError(f"--validators must be between 1 and {MAX_NODES}, not {validators}")
    if not 0.05 <= block_period <= 3600:
        raise DevnetError(f"--block-period must be between 0.05 and 3600 seconds, not {block_period}")


def make_devnet(path: Path, validators: int, block_period: float, port_offset: int) -> Manifest:
    """Make keys, genesis, configuration and manifest under `path`."""
    keys = [NodeKey.generate() for _ in range(validators)]
    nodes = tuple(
        _node(f"validator-{index + 1}", "validator", key, node_ports(index, port_offset), path.resolve())
        for index, key in enumerate(keys)
    )
    manifest = Manifest(path.resolve(), block_period, port_offset, nodes, funded_accounts())
    genesis = devnet_genesis([key.address for key in keys], manifest.accounts, block_period, int(time.time()) - 1)
    path.mkdir(parents=True, exist_ok=True)
    manifest.genesis_file.write_text(json.dumps(genesis, indent=2) + "\n", "utf-8")
    for node, key in zip(nodes, keys, strict=True):
        write_node_files(manifest, node, key)
    _write_manifest(manifest)
    return manifest


def write_node_files(manifest: Manifest, node: DevnetNode, key: NodeKey, bootnode: str | None = None) -> None:
    """The node's directory: key, `config.toml` with Besu's own names, and `static-nodes.json` with the others unless it
    is to find them by `bootnode`."""
    node.directory.mkdir(parents=True, exist_ok=True)
    save_node_key(node.directory / "key", key)
    others = [other.enode for other in manifest.nodes if other.name != node.name]
    if bootnode is None:
        (node.directory / "static-nodes.json").write_text(json.dumps(others, indent=2) + "\n", "utf-8")
    node.config_file.write_text(_config_toml(manifest, node, bootnode), "utf-8")


def join_devnet(manifest: Manifest, name: str) -> tuple[Manifest, DevnetNode]:
    """Add an observer that knows nothing but the genesis and one boot node; the devnet with it, and the new node."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
        raise DevnetError(f"{name!r} is no name for a node: letters, digits, - and _ are")
    if any(node.name == name for node in manifest.nodes):
        raise DevnetError(f"there is a node called {name} already")
    if len(manifest.nodes) == MAX_NODES:
        raise DevnetError(f"a devnet holds at most {MAX_NODES} nodes")
    ports = node_ports(len(manifest.nodes), manifest.port_offset)
    if not ports.are_free():
        raise DevnetError(f"{name} would listen on {', '.join(map(str, ports))}, and one of them is in use")
    key = NodeKey.generate()
    node = _node(name, "observer", key, ports, manifest.path)
    joined = replace(manifest, nodes=(*manifest.nodes, node))
    write_node_files(joined, node, key, bootnode=manifest.nodes[0].enode)
    _write_manifest(joined)
    return joined, node


def _config_toml(manifest: Manifest, node: DevnetNode, bootnode: str | None) -> str:
    settings: dict[str, object] = {
        **({"bootnodes": [bootnode]} if bootnode is not None else {}),
        "data-path": str(node.directory),
        "genesis-file": str(manifest.genesis_file),
        "network-id": CHAIN_ID,
        "pid-path": str(node.pid_file),
        "logging": "INFO",
        "min-gas-price": 0,
        "tx-pool": "sequenced",
        "tx-pool-limit-by-account-percentage": 1.0,
        "p2p-host": "127.0.0.1",
        "p2p-interface": "127.0.0.1",
        "p2p-port": node.p2p_port,
        "max-peers": 100,
        "remote-connections-limit-enabled": False,
        "host-allowlist": ["*"],
        "rpc-http-enabled": True,
        "rpc-http-host": "127.0.0.1",
        "rpc-http-port": node.rpc_port,
        "rpc-http-api": ["ADMIN", "ETH", "IBFT", "LAC", "NET", "TXPOOL", "WEB3"],
        "rpc-http-cors-origins": ["*"],
        "rpc-ws-enabled": True,
        "rpc-ws-host": "127.0.0.1",
        "rpc-ws-port": node.ws_port,
        "rpc-ws-api": ["ADMIN", "ETH", "IBFT", "LAC", "NET", "TXPOOL", "WEB3"],
        "revert-reason-enabled": True,
        "Xnetwork-faults-file": str(node.faults_file),
    }
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in settings.items())


def _node(name: str, role: str, key: NodeKey, ports: NodePorts, root: Path) -> DevnetNode:
    return DevnetNode(
        name=name,
        role=role,
        address=to_hex(key.address),
        enode=f"enode://{key.public_key.hex()}@127.0.0.1:{ports.p2p}",
        rpc_url=f"http://127.0.0.1:{ports.rpc}",
        ws_url=f"ws://127.0.0.1:{ports.ws}",
        p2p_port=ports.p2p,
        rpc_port=ports.rpc,
        ws_port=ports.ws,
        data_path=str(root / "nodes" / name),
    )


def _write_manifest(manifest: Manifest) -> None:
    document = {
        "format": FORMAT,
        "block_period": manifest.block_period,
        "port_offset": manifest.port_offset,
        "nodes": [asdict(node) for node in manifest.nodes],
        "accounts": [asdict(account) for account in manifest.accounts],
    }
    temporary = manifest.path / f".{FILE_NAME}.{os.getpid()}"
    temporary.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    temporary.replace(manifest.path / FILE_NAME)
