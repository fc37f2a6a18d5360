"""The settings of JSON-RPC that an operator may choose."""

from dataclasses import dataclass
from pathlib import Path

from lacnode.rpc.tls_settings import RpcTlsSettings

DEFAULT_GROUPS = ("ETH", "NET", "WEB3")


@dataclass(frozen=True, slots=True)
class AuthenticationSettings:
    """The callers that a port accepts.

    Users in `credentials_file` may log in and get tokens of this node. With `public_key_file`, only tokens of the
    issuer with this key are accepted, and no user can log in. `algorithm` is the signature algorithm of that issuer's
    tokens. `open_methods` need no token. If `privacy_keys` is set, every user of the file must have a transaction
    manager's key.
    """

    credentials_file: Path | None = None
    public_key_file: Path | None = None
    algorithm: str = "RS256"
    open_methods: frozenset[str] = frozenset()
    privacy_keys: bool = False


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """JSON-RPC over HTTP. Sizes are in bytes, times in seconds. `groups` are API groups in upper case. `max_batch` is a
    number of calls. There is no limit if it is not positive. `pretty` indents replies. `cors_origins` are regular
    expressions of the origins of pages that may call. Without any, no page may call. `allowed_hosts` are the names that
    a `Host` header may have. `timeout` is for one request. Every client may call if `authentication` is None. There is
    no TLS if `tls` is None."""

    host: str = "127.0.0.1"
    port: int = 8545
    groups: tuple[str, ...] = DEFAULT_GROUPS
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    max_connections: int = 80
    max_batch: int = 1024
    max_body: int = 5_242_880
    timeout: float = 300.0
    pretty: bool = False
    authentication: AuthenticationSettings | None = None
    tls: RpcTlsSettings | None = None


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """JSON-RPC over WebSocket. `groups` are API groups in upper case. `max_frame` is in bytes, `timeout` in seconds for
    one message. A message may be four times `max_frame` long. `cors_origins` are regular expressions of the origins of
    pages that may connect. The default is every page, as with Besu. `allowed_hosts` are the names that a `Host` header
    may have. Every client may call if `authentication` is None. There is no TLS if `tls` is None."""

    host: str = "127.0.0.1"
    port: int = 8546
    groups: tuple[str, ...] = DEFAULT_GROUPS
    cors_origins: tuple[str, ...] = ("*",)
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    max_connections: int = 80
    max_frame: int = 1_048_576
    timeout: float = 300.0
    authentication: AuthenticationSettings | None = None
    tls: RpcTlsSettings | None = None


@dataclass(frozen=True, slots=True)
class IpcSettings:
    """JSON-RPC on the socket `path` of the file system. `groups` are API groups in upper case. `timeout` is in seconds
    for one message."""

    path: Path
    groups: tuple[str, ...] = DEFAULT_GROUPS
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The limits and prices of methods. Prices are in wei per gas, and `gas_cap` is in units of gas. The ranges are in
    blocks. 0 means that there is no limit for a range and for `gas_cap`.

    `gas_price_percentile` (0 to 100) of the prices in the last `gas_price_blocks` blocks is proposed to clients, at
    most `gas_price_max`. A gas estimate may be too high by the fraction `estimate_tolerance` of it, which saves
    executions. One heavy call may take `call_seconds`. Such calls run in `reader_processes` processes, or in one thread
    of the node if that is 0. Files of traces are written into `trace_directory`. No such file can be written if it is
    None.
    """

    max_logs_range: int = 5000
    max_trace_filter_range: int = 1000
    gas_cap: int = 50_000_000
    gas_price_blocks: int = 100
    gas_price_percentile: float = 50.0
    gas_price_max: int = 500_000_000_000
    estimate_tolerance: float = 0.015
    call_seconds: float = 5.0
    reader_processes: int = 1
    trace_directory: Path | None = None
