"""What an operator may choose about JSON-RPC."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_GROUPS = ("ETH", "NET", "WEB3")


@dataclass(frozen=True, slots=True)
class AuthenticationSettings:
    """Who may call: users in `credentials_file`, who are given tokens; or whoever has a token of the issuer whose public
    key is in `public_key_file`, by `algorithm`. `open_methods` need no token. With `privacy_keys` every user of the file
    must have a transaction manager's key."""

    credentials_file: Path | None = None
    public_key_file: Path | None = None
    algorithm: str = "RS256"
    open_methods: frozenset[str] = frozenset()
    privacy_keys: bool = False


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """JSON-RPC over HTTP. Sizes in bytes, times in seconds; `max_batch` at most 0 is no limit. Anybody may call where
    `authentication` is None."""

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


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """JSON-RPC over WebSocket. A message may be four frames long."""

    host: str = "127.0.0.1"
    port: int = 8546
    groups: tuple[str, ...] = DEFAULT_GROUPS
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    max_connections: int = 80
    max_frame: int = 1_048_576
    timeout: float = 300.0
    authentication: AuthenticationSettings | None = None


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What methods answer with. Prices in wei, `gas_cap` in gas units; 0 switches a limit off. `estimate_tolerance` is the
    part of an estimate by which it may be too high, which saves executions. `call_seconds` is what one call may take in
    one of the `reader_processes`; without any, heavy calls run in a thread of the node.
    """

    max_logs_range: int = 5000
    gas_cap: int = 50_000_000
    gas_price_blocks: int = 100
    gas_price_percentile: float = 50.0
    gas_price_max: int = 500_000_000_000
    estimate_tolerance: float = 0.015
    call_seconds: float = 5.0
    reader_processes: int = 1
