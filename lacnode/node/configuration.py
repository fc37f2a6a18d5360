"""The complete configuration of one node: made by the command line, by a devnet, or by hand."""

from dataclasses import dataclass, field
from pathlib import Path

from lacnode.ethstats.ethstats_settings import EthstatsSettings
from lacnode.evm.engine_kind import EngineKind
from lacnode.graphql.settings import GraphQlSettings
from lacnode.metrics.metrics_settings import MetricsSettings, OtlpSettings, PushSettings
from lacnode.node.role import NodeRole
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_context import DEFAULT_STATE_QUOTA_BYTES
from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.rpc.settings import ApiSettings, HttpSettings, IpcSettings, WebSocketSettings
from lacnode.txpool.pool_settings import PoolSettings


@dataclass(frozen=True, slots=True)
class P2pSettings:
    """The settings of the network. The node gives the address `host` to its peers, and listens on `interface`. At most
    the part `inbound_share` (0 to 1) of `max_peers` may have dialled this node. None sets no such limit. `banned_ids`
    are node ids (64 bytes)."""

    enabled: bool = True
    host: str = "127.0.0.1"
    interface: str = "0.0.0.0"
    port: int = 30303
    max_peers: int = 25
    inbound_share: float | None = 0.6
    discovery: bool = True
    bootnodes: tuple[Enode, ...] = ()
    static_nodes: tuple[Enode, ...] = ()
    banned_ids: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """The settings of this node's blocks. `selection_share` is the part of the block period (0 to 1) for choosing
    transactions. `vanity` is cut or filled to 32 bytes. `gas_limit_target` is in gas, None keeps the limit.
    `min_occupancy_ratio` (0 to 1) is the part of the gas limit from which a block is closed once a transaction does not
    fit.
    """

    vanity: bytes = b""
    gas_limit_target: int | None = None
    min_occupancy_ratio: float = 0.8
    selection_share: float = 0.75


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """The settings of private transactions.

    `public_key` (32 bytes) is the manager's key that this node acts for, None where its users bring keys of their
    own. `url` is the address of the manager, by TLS with `tls`. `manager_config` is the configuration of a manager in
    this process. The key in `marker_key_file` signs all markers. Without it, each marker has a new key. `genesis` is
    the state that groups begin with. `mode` is the kind of groups. `state_quota_bytes` bounds the private state on the disk,
    0 for no bound.
    """

    public_key: bytes | None
    url: str | None = None
    tls: EnclaveTlsFiles | None = None
    manager_config: Path | None = None
    marker_key_file: Path | None = None
    genesis: PrivateGenesis = field(default_factory=PrivateGenesis)
    mode: GroupMode = GroupMode.OFFCHAIN
    state_quota_bytes: int = DEFAULT_STATE_QUOTA_BYTES


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The configuration of one node. `http`, `websocket`, `ipc`, `graphql`, `metrics`, `metrics_push`, `metrics_otlp`,
    `ethstats` and `privacy` are None if they are off.

    `host_names` allows names in place of IP addresses in enode URLs, and `host_names_update` lets them change their
    addresses while the node runs. `reset_signing_state` lets a validator sign although it may have lost records of its
    signatures.
    """

    data_path: Path
    genesis_file: Path
    key_file: Path | None = None
    network_id: int | None = None
    identity: str | None = None
    role: NodeRole | None = None
    p2p: P2pSettings = field(default_factory=P2pSettings)
    http: HttpSettings | None = None
    websocket: WebSocketSettings | None = None
    ipc: IpcSettings | None = None
    graphql: GraphQlSettings | None = None
    metrics: MetricsSettings | None = None
    metrics_push: PushSettings | None = None
    metrics_otlp: OtlpSettings | None = None
    ethstats: EthstatsSettings | None = None
    api: ApiSettings = field(default_factory=ApiSettings)
    permissioning: PermissioningSettings = field(default_factory=PermissioningSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    mining: MiningSettings = field(default_factory=MiningSettings)
    privacy: PrivacySettings | None = None
    host_names: bool = False
    host_names_update: bool = False
    keep_revert_reasons: bool = False
    evm: EngineKind = EngineKind.AUTO
    logging: str = "INFO"
    logging_format: str = "PLAIN"
    colour: bool | None = None
    pid_file: Path | None = None
    faults_file: Path | None = None
    devnet_directory: Path | None = None
    reset_signing_state: bool = False
    warnings: tuple[str, ...] = ()
