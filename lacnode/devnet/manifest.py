"""The contents of a devnet, as written in `devnet.json` under its data path: nodes, ports, keys, accounts.

The file is written when the devnet is made and when a node joins. Every later command reads it. Must not contain whether a
node runs: `processes` reads that from the pid file and the process table.
"""

import importlib
import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.devnet.accounts import DevnetAccount, funded_accounts, mnemonic_accounts, state_administrator
from lacnode.devnet.allowed_pages import HOSTS, ORIGINS
from lacnode.devnet.devnet_genesis import CHAIN_ID, DEFAULT_CONSENSUS, DEFAULT_FORK, LACCHAIN_FORK, devnet_genesis
from lacnode.devnet.devnet_ports import MAX_DEVNET_NODES, NodePorts, developer_port, node_ports
from lacnode.devnet.devnet_state import DevnetState, save_state
from lacnode.devnet.manager_files import make_manager_key, privacy_settings, write_manager_config
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.storage.atomic_file import replace_text
from lacnode.storage.disk import REAL_DISK

FILE_NAME = "devnet.json"
FORMAT = 1


GROUPS = ("ADMIN", "DEBUG", "ETH", "LAC", "NET", "TRACE", "TXPOOL", "WEB3")
"""The API groups of every node. That of its consensus protocol comes to them."""

CONSENSUS_GROUPS = {"ibft2": "IBFT", "qbft": "QBFT"}
"""The API group of each consensus protocol."""

PERMISSIONED = {
    "permissions-nodes-contract-enabled": True,
    "permissions-nodes-contract-address": "0x" + "9999".rjust(40, "0"),
    "permissions-accounts-contract-enabled": True,
    "permissions-accounts-contract-address": "0x" + "8888".rjust(40, "0"),
}
"""The settings of a permissioned devnet's nodes."""


class DevnetError(Exception):
    """A devnet cannot be made, found or run, or cannot do what a command asks. The message is for the user."""


@dataclass(frozen=True, slots=True)
class DevnetNode:
    """One node: its identity, its addresses (all on 127.0.0.1) and its files. `role` is `validator`, `boot`, `writer`
    or `observer`. `address` has 40 hexadecimal digits after 0x.
    """

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
    privacy_key: str | None
    """The public key of its transaction manager in base64, None if it has no manager."""

    privacy_port: int
    has_role: bool
    """Whether its configuration fixes its role. A node that joined later has no fixed role, so that it can become a
    validator."""

    @property
    def directory(self) -> Path:
        """The directory of the node, which is also its data path."""
        return Path(self.data_path)

    @property
    def pid_file(self) -> Path:
        """The file with the process id of the node. The process may have ended: `processes.find_pid` looks."""
        return self.directory / "node.pid"

    @property
    def log_file(self) -> Path:
        """The file with the output of the node's process."""
        return self.directory / "node.log"

    @property
    def config_file(self) -> Path:
        """The `config.toml` of the node."""
        return self.directory / "config.toml"

    @property
    def faults_file(self) -> Path:
        """The file with the JSON list of the node ids that this node must not connect to. It may be missing: then there
        are none."""
        return self.directory / "faults.json"

    @property
    def privacy_directory(self) -> Path:
        """The directory of its transaction manager."""
        return self.directory / "privacy"

    @property
    def node_id(self) -> str:
        """The node id as 128 hexadecimal digits without 0x."""
        return self.enode.removeprefix("enode://").partition("@")[0]


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """The number of nodes of each role at the start of a devnet, and its options. With `permissioned`, contracts decide
    which nodes may connect and which accounts may send. `qbft_start_block` is None without QBFT after IBFT 2.0.
    """

    validators: int = 4
    boots: int = 0
    writers: int = 0
    observers: int = 0
    permissioned: bool = False
    privacy: bool = False
    """Whether every writer has a transaction manager."""
    flexible_groups: bool = False
    """Whether their groups are flexible ones."""
    fork: str = DEFAULT_FORK
    """A key of `DEVNET_FORKS`."""
    blocks_on_demand: bool = False
    """Whether a block is made when a transaction waits, and none otherwise."""
    consensus: str = DEFAULT_CONSENSUS
    """The name of a consensus protocol."""
    cors_origins: tuple[str, ...] = ORIGINS
    """Regular expressions of the origins of web pages that may use its ports."""
    qbft_start_block: int | None = None
    """The first block of QBFT, if the network goes from IBFT 2.0 to it."""

    def roles(self) -> list[str]:
        """Return the role of every node, in the order of the nodes: first the validators, then boot nodes, writers,
        observers."""
        counts = (("validator", self.validators), ("boot", self.boots), ("writer", self.writers))
        return [role for role, count in (*counts, ("observer", self.observers)) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a devnet, which it keeps in its directory: nodes, accounts, and the options it was made with.
    `block_period` is in seconds.
    """

    path: Path
    block_period: float
    port_offset: int
    permissioned: bool
    flexible_groups: bool
    fork: str
    """A key of `DEVNET_FORKS`."""
    blocks_on_demand: bool
    has_endpoint: bool
    """Whether the first validator has the developer endpoint. Devnets of older releases have none."""
    consensus: str
    """The name of a consensus protocol."""
    cors_origins: tuple[str, ...]
    """Regular expressions of the origins of web pages that may use its ports."""
    nodes: tuple[DevnetNode, ...]
    accounts: tuple[DevnetAccount, ...]

    @property
    def developer_port(self) -> int:
        """The port of the developer endpoint. Nothing listens there without `has_endpoint`."""
        return developer_port(self.port_offset)

    @property
    def developer_url(self) -> str:
        """The address of the developer endpoint."""
        return f"http://127.0.0.1:{self.developer_port}"

    @property
    def accounts_mnemonic_first(self) -> tuple[DevnetAccount, ...]:
        """The accounts as `eth_accounts` lists them: those of the test mnemonic come first, as tutorials expect."""
        own = funded_accounts()
        return tuple(sorted(self.accounts, key=lambda account: account in own))

    @property
    def coordinator_directory(self) -> Path | None:
        """The directory of the node whose process has the developer endpoint, None if there is none."""
        return self.nodes[0].directory if self.has_endpoint else None

    @property
    def genesis_file(self) -> Path:
        """The genesis file of all nodes."""
        return self.path / "genesis.json"

    @property
    def admin_key_file(self) -> Path:
        """The file with the private key of the first of `accounts`, which may change the rules of a permissioned
        devnet."""
        return self.path / "admin.key"

    def nodes_with_role(self, *roles: str) -> list[DevnetNode]:
        """Return the nodes with one of `roles`, in their order."""
        return [node for node in self.nodes if node.role in roles]

    def node(self, name: str) -> DevnetNode:
        """Return the node called `name`. DevnetError if there is none. Its message lists the names."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise DevnetError(f"no node {name!r} in this devnet; there are {', '.join(n.name for n in self.nodes)}")


def load_manifest(path: Path) -> Manifest | None:
    """Return the devnet under `path`, None if there is none. DevnetError if its manifest is damaged, cannot be read, or
    has a format that this release does not read."""
    file = path / FILE_NAME
    try:
        document = json.loads(file.read_text("utf-8"))
        if document["format"] != FORMAT:
            raise DevnetError(f"{file} has format {document['format']}, this release reads {FORMAT}")
        return Manifest(
            path=path,
            block_period=float(document["block_period"]),
            port_offset=int(document["port_offset"]),
            permissioned=bool(document["permissioned"]),
            # Older releases did not write these keys.
            flexible_groups=bool(document.get("flexible_groups", False)),
            fork=str(document.get("fork", LACCHAIN_FORK)),
            blocks_on_demand=bool(document.get("blocks_on_demand", False)),
            has_endpoint=bool(document.get("has_endpoint", False)),
            consensus=str(document.get("consensus", DEFAULT_CONSENSUS)),
            cors_origins=tuple(map(str, document.get("cors_origins", ORIGINS))),
            nodes=tuple(DevnetNode(**node) for node in document["nodes"]),
            accounts=tuple(DevnetAccount(**account) for account in document["accounts"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DevnetError(f"{file} is damaged ({error}); remove {path} to start again") from None


def check_network(shape: NetworkShape, block_period: float) -> None:
    """Raise DevnetError unless a devnet may have that shape and that many seconds between blocks. The names of fork and
    protocol are not checked."""
    for name, count, least in (
        ("validators", shape.validators, 1),
        ("boots", shape.boots, 0),
        ("writers", shape.writers, 0),
        ("observers", shape.observers, 0),
    ):
        if not least <= count <= MAX_DEVNET_NODES:
            raise DevnetError(f"--{name} must be between {least} and {MAX_DEVNET_NODES}, not {count}")
    if len(shape.roles()) > MAX_DEVNET_NODES:
        raise DevnetError(f"a devnet holds at most {MAX_DEVNET_NODES} nodes, and {len(shape.roles())} were asked for")
    if shape.qbft_start_block is not None and (shape.consensus != "ibft2" or shape.qbft_start_block < 1):
        raise DevnetError("--qbft-start-block is at least 1, and needs --consensus ibft2")
    if shape.flexible_groups and not shape.privacy:
        raise DevnetError("--flexible-groups needs --privacy")
    if not 0.05 <= block_period <= 3600:
        raise DevnetError(f"--block-period must be between 0.05 and 3600 seconds, not {block_period}")


def make_devnet(path: Path, shape: NetworkShape, block_period: float, port_offset: int) -> Manifest:
    """Make keys, genesis, configuration and manifest under `path`, and return the manifest. No node is started.
    `check_network` must have accepted the shape and the period. The ports of the nodes begin at `port_offset` above the
    well-known ones. KeyError for an unknown fork or protocol. OSError, KeyFileError, DevnetStateError or, for a
    manager's key, PrivacyKeyError if a file cannot be written."""
    roles = shape.roles()
    keys = [NodeKey.generate() for _ in roles]
    # Nodes are numbered within their role, from 1: validator-1, validator-2, writer-1.
    numbers = [roles[: index + 1].count(role) for index, role in enumerate(roles)]
    nodes = tuple(
        _node(f"{role}-{number}", role, key, node_ports(index, port_offset), path.resolve())
        for index, (role, number, key) in enumerate(zip(roles, numbers, keys, strict=True))
    )
    # Before the manifest and the permissions: the manifest contains the managers' keys, and the permissions let the
    # writers with a manager send markers.
    if shape.privacy:
        nodes = tuple(_with_manager(node) if node.role == "writer" else node for node in nodes)
    manifest = Manifest(
        path.resolve(),
        block_period,
        port_offset,
        shape.permissioned,
        shape.flexible_groups,
        shape.fork,
        shape.blocks_on_demand,
        True,
        shape.consensus,
        shape.cors_origins,
        nodes,
        (*funded_accounts(), *mnemonic_accounts()),
    )
    validators = [key.address for role, key in zip(roles, keys, strict=True) if role == "validator"]
    begins = int(time.time()) - 1
    genesis = devnet_genesis(
        validators, manifest.accounts, block_period, begins, shape.fork, shape.consensus, shape.qbft_start_block
    )
    if shape.permissioned:
        _add_permissions(genesis, manifest)
    path.mkdir(parents=True, exist_ok=True)
    manifest.genesis_file.write_text(json.dumps(genesis, indent=2) + "\n", "utf-8")
    save_node_key(manifest.admin_key_file, NodeKey.from_private_key(from_hex(manifest.accounts[0].private_key)))
    for node, key in zip(nodes, keys, strict=True):
        _write_node_files(manifest, node, key)
    if shape.blocks_on_demand:
        # The first block is made in any case: it shows that the network has found together.
        save_state(path, DevnetState(last_height=1))
    # Last: a directory with a manifest is a complete devnet. After a crash before this line no command takes it for
    # one.
    _write_manifest(manifest)
    return manifest


def _with_manager(node: DevnetNode) -> DevnetNode:
    # First the data path by itself: made as the parent of the manager's directory, it would be open to other users.
    REAL_DISK.make_directory(node.directory)
    return replace(node, privacy_key=make_manager_key(node.privacy_directory))


def _add_permissions(genesis: dict[str, object], manifest: Manifest) -> None:
    """Add the contracts of permissioning to the genesis. They permit every node with its role. Every funded account may
    send, and the first one may change the rules.

    The module is imported by name because it needs the EVM, which is slow to import.
    """
    module = importlib.import_module("lacnode.devnet.permissioned_genesis")
    addresses = [address_from_hex(account.address) for account in manifest.accounts]
    # A private transaction's marker is signed by the writer itself.
    addresses += [address_from_hex(node.address) for node in manifest.nodes if node.privacy_key is not None]
    addresses.append(address_from_hex(state_administrator().address))
    nodes = [(node.enode, node.role, node.name) for node in manifest.nodes]
    alloc = genesis["alloc"]
    assert isinstance(alloc, dict)
    alloc.update(module.devnet_permissioning_alloc(addresses, nodes))


def _write_node_files(manifest: Manifest, node: DevnetNode, key: NodeKey) -> None:
    """Write the node's directory: key, `config.toml` with Besu's own names, and `static-nodes.json` if it has static
    nodes. `node` must be in `manifest`. OSError or KeyFileError if a file cannot be written, DevnetError if the genesis
    file cannot be read.
    """
    REAL_DISK.make_directory(node.directory)
    save_node_key(node.directory / "key", key)
    static = [other.enode for other in _static_nodes(manifest, node)]
    if static:
        (node.directory / "static-nodes.json").write_text(json.dumps(static, indent=2) + "\n", "utf-8")
    if node.privacy_key is not None:
        # Nodes that join later have no manager, so the list is complete when the devnet is made.
        managers = [other.privacy_port for other in manifest.nodes if other.privacy_key and other.name != node.name]
        write_manager_config(node.privacy_directory, node.privacy_port, managers)
    node.config_file.write_text(_config_toml(manifest, node), "utf-8")


def _static_nodes(manifest: Manifest, node: DevnetNode) -> list[DevnetNode]:
    """Return the static nodes of `node`. Validators have each other, so that the network is complete at once. Other nodes
    find their peers through a boot node."""
    if node.role != "validator":
        return []
    return [other for other in manifest.nodes_with_role("validator") if other.name != node.name]


def _bootnodes(manifest: Manifest, node: DevnetNode) -> list[DevnetNode]:
    """Return the boot nodes, or the first validator if there are none. Nodes that join find all others through them."""
    boots = manifest.nodes_with_role("boot") or manifest.nodes_with_role("validator")[:1]
    return [boot for boot in boots if boot.name != node.name]


def join_devnet(manifest: Manifest, name: str) -> tuple[Manifest, DevnetNode]:
    """Add an observer that knows only the genesis and the boot nodes, or the first validator if there are none. Return
    the devnet with it, and the new node, which is not started. Its files and the manifest are written.

    DevnetError if the name is malformed or taken, if the devnet is full, if a port of the node is in use, or if the
    genesis file cannot be read. OSError or KeyFileError if a file cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
        raise DevnetError(f"{name!r} is no name for a node: letters, digits, - and _ are")
    if any(node.name == name for node in manifest.nodes):
        raise DevnetError(f"there is a node called {name} already")
    if len(manifest.nodes) == MAX_DEVNET_NODES:
        raise DevnetError(f"a devnet holds at most {MAX_DEVNET_NODES} nodes")
    # The ports follow from the position, so they are not claimed like those of a new network. A process may use one of
    # them.
    ports = node_ports(len(manifest.nodes), manifest.port_offset)
    if not ports.are_free():
        raise DevnetError(f"{name} would listen on {', '.join(map(str, ports))}, and one of them is in use")
    key = NodeKey.generate()
    node = _node(name, "observer", key, ports, manifest.path, has_role=False)
    joined = replace(manifest, nodes=(*manifest.nodes, node))
    _write_node_files(joined, node, key)
    _write_manifest(joined)
    return joined, node


def qbft_start_block(manifest: Manifest) -> int | None:
    """Return the first block of QBFT in a network that goes from IBFT 2.0 to it, None in another one. DevnetError if
    its genesis file cannot be read."""
    try:
        document = json.loads(manifest.genesis_file.read_text("utf-8"))
        begins: int | None = document["config"].get("qbft", {}).get("startBlock")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevnetError(f"{manifest.genesis_file} is damaged ({error})") from None
    return begins


def _consensus_groups(manifest: Manifest) -> list[str]:
    names = [manifest.consensus, *(() if qbft_start_block(manifest) is None else ("qbft",))]
    return [CONSENSUS_GROUPS[name] for name in names]


def _config_toml(manifest: Manifest, node: DevnetNode) -> str:
    bootnodes = [other.enode for other in _bootnodes(manifest, node)]
    groups = [*GROUPS, *_consensus_groups(manifest), *(("EEA", "PRIV") if node.privacy_key else ())]
    settings: dict[str, object] = {
        **({"bootnodes": bootnodes} if bootnodes else {}),
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
        # More than a devnet can have, so that all nodes may connect. Limits would make a test depend on the order of
        # the start.
        "max-peers": 100,
        "remote-connections-limit-enabled": False,
        "host-allowlist": HOSTS,
        "rpc-http-enabled": True,
        "rpc-http-host": "127.0.0.1",
        "rpc-http-port": node.rpc_port,
        "rpc-http-api": groups,
        "rpc-http-cors-origins": manifest.cors_origins,
        "rpc-ws-enabled": True,
        "rpc-ws-host": "127.0.0.1",
        "rpc-ws-port": node.ws_port,
        "rpc-ws-api": groups,
        "Xrpc-ws-cors-origins": manifest.cors_origins,
        "revert-reason-enabled": True,
        # `processes.partition` writes this file, and the running node reads it again.
        "Xnetwork-faults-file": str(node.faults_file),
        **({"Xdevnet-directory": str(manifest.path)} if manifest.has_endpoint else {}),
        **({"node-role": node.role} if node.has_role else {}),
        **(PERMISSIONED if manifest.permissioned else {}),
        **(_privacy_settings(manifest, node) if node.privacy_key else {}),
    }
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in settings.items())


def _privacy_settings(manifest: Manifest, node: DevnetNode) -> dict[str, object]:
    return privacy_settings(node.privacy_directory, node.directory / "key", manifest.flexible_groups)


def _node(name: str, role: str, key: NodeKey, ports: NodePorts, root: Path, has_role: bool = True) -> DevnetNode:
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
        privacy_key=None,
        privacy_port=ports.privacy,
        has_role=has_role,
    )


def _write_manifest(manifest: Manifest) -> None:
    document = {
        "format": FORMAT,
        "block_period": manifest.block_period,
        "port_offset": manifest.port_offset,
        "permissioned": manifest.permissioned,
        "flexible_groups": manifest.flexible_groups,
        "fork": manifest.fork,
        "blocks_on_demand": manifest.blocks_on_demand,
        "has_endpoint": manifest.has_endpoint,
        "consensus": manifest.consensus,
        "cors_origins": manifest.cors_origins,
        "nodes": [asdict(node) for node in manifest.nodes],
        "accounts": [asdict(account) for account in manifest.accounts],
    }
    replace_text(manifest.path / FILE_NAME, json.dumps(document, indent=2) + "\n")
