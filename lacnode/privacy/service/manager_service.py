"""One manager with its ports, its discovery and its recovery, in a trio loop. It is its own process or part of a node."""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
import trio

from lacnode import __version__
from lacnode.client_address import client_address
from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.connection_server import ConnectionServer, bound_port, open_listeners
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import Request, RequestHandler
from lacnode.http.send_backlog import SendBacklog
from lacnode.http.tls_handshakes import BoundedHandshakes
from lacnode.privacy.keys import KeyRing
from lacnode.privacy.manager.address_policy import AddressPolicy, Network
from lacnode.privacy.manager.full_recovery import MAX_FULL_RECOVERIES_AT_ONCE, FullRecovery
from lacnode.privacy.manager.key_claims import RivalKeyClaims
from lacnode.privacy.manager.key_proof_exchange import ProofResponder
from lacnode.privacy.manager.key_proofs import KeyProofs
from lacnode.privacy.manager.known_managers_writer import KnownManagersWriter
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.missing_payloads import MissingPayloads
from lacnode.privacy.manager.payload_recovery import MAX_WANTED_PAYLOADS, PayloadRecovery, RecoveryResponder
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.proven_requests import RequestAuthenticator
from lacnode.privacy.manager.quota import Quota, QuotaSettings
from lacnode.privacy.manager.state_root_exchange import PeerStateRootClient, StateRootResponder
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_peer_api import TesseraPeerApi
from lacnode.privacy.manager.tessera.tessera_recovery import TesseraRecovery
from lacnode.privacy.service.address_shares import AddressShares
from lacnode.privacy.service.client_certificates import ClientCertificateCheck, RefusedClients
from lacnode.privacy.service.client_routes import ClientRoutes
from lacnode.privacy.service.manager_discovery import ManagerDiscovery
from lacnode.privacy.service.node_routes import NodeRoutes, RespondersBeyondOrion
from lacnode.privacy.service.peer_client import HttpPeerSender
from lacnode.privacy.service.permitted_network import allow_private_network_of_own_host
from lacnode.privacy.service.tls import ServerTls, Tls
from lacnode.privacy.transaction_manager import EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("privacy")

MAX_BODY_BYTES = 16_777_216
MAX_CONNECTIONS = 200
MAX_CONNECTIONS_PER_ADDRESS = 64
"""A manager makes up to 32 calls at once, and several managers may share an address."""

MAX_ARRIVING_BYTES = 25_165_824
"""The largest size of all requests at the port for clients that arrive or wait for an answer: one of `MAX_BODY_BYTES` beside
others."""

MAX_PEER_ARRIVING_BYTES = 41_943_040
"""The same at the port for managers. A request of `MAX_BODY_BYTES` can arrive while another one of this size and three short
ones are computed, which are not dropped."""

MAX_WAITING_RESPONSE_BYTES = 134_217_728
"""The largest size of all responses at one port that wait to be read. Several of them may carry a payload of 15 MiB."""

CLIENT_WORKERS, PEER_WORKERS = 8, 4
"""The threads for clients and for other managers. Busy peers must not keep the own node waiting."""

RECOVERY_PAUSE_SECONDS = CLAIMS_PAUSE_SECONDS = KNOWN_MANAGERS_PAUSE_SECONDS = 1.0
TESSERA_PAUSE_SECONDS = 5.0
"""Tessera's own interval between two announcements of its URL."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings of a manager and its ports. Port 0 means any free port.

    An empty `node_url` means the interface and the port. `client_port` is None if the node runs in this process and
    needs no client port. `token` is the bearer token of clients, None for none. `always_send_to` are public keys that
    receive every payload that clients send by this manager. `recover` asks for all payloads at the start. `only_proven`
    is `onlyprovenkeys` of the configuration.
    """

    node_host: str = "127.0.0.1"
    node_port: int = 0
    node_url: str = ""
    client_host: str = "127.0.0.1"
    client_port: int | None = 0
    token: str | None = field(default=None, repr=False)
    client_networks: Sequence[Network] = ()
    """The networks where clients must be, empty for any."""

    client_any_host: bool = False
    """Whether clients may call this machine by any name, as they must from other machines."""

    other_nodes: Sequence[str] = ()
    tessera_nodes: Sequence[str] = ()
    always_send_to: Sequence[bytes] = ()
    recover: bool = False
    only_proven: bool | None = None
    allowed_networks: Sequence[Network] = ()
    denied_networks: Sequence[Network] = ()
    """The networks where other managers may and may not be called, besides public addresses and the kinds of own URLs."""

    quota: QuotaSettings = field(default_factory=QuotaSettings)
    directory: Path | None = None
    """The quotas, and the folder of the store, whose disk is watched."""
    tls: Tls | None = None
    client_tls: ServerTls | None = None


class ManagerService:
    """A manager with its ports, its discovery and its recovery. `manager` is the `TransactionManager`.

    `manager` sends only after `run` has started. It blocks, so the event loop must not call it. `roots` answers the
    questions of other members for state roots, once the node has set its `source`. `state_root_client` asks other
    members such questions. `node_port` and `client_port` are the bound ports, None before `run` has opened them and for
    a port that is off. StoreError if `store` fails.
    """

    def __init__(self, keys: KeyRing, store: PayloadStore, settings: ServiceSettings) -> None:
        self._settings = settings
        self._store = store
        # Other managers decide how often payloads come and keys change.
        self._log = RateLimitedLog("privacy", time.monotonic)
        self._recovered = 0
        # The order below follows the needs: the policy, the sender that obeys it, the directory, the quota that asks
        # the directory, and the manager that uses all of them.
        self._policy = _policy(settings)
        self._shares = AddressShares()
        self._sender = HttpPeerSender(
            None if settings.tls is None else settings.tls.client, self._policy, self._confirm_address
        )
        self._peers = PeerDirectory(
            keys.public_keys,
            others=settings.other_nodes,
            known=store.read_known_nodes(),
            may_call=self._policy.permits_url,
        )
        self._known_managers = KnownManagersWriter(self._peers, store)
        # The quota needs the directory, which says whether a key is known. The store needs the quota.
        self.quota = Quota(settings.quota, self._is_key_of_called_manager, settings.directory)
        store.set_quota(self.quota)
        self._missing = MissingPayloads()
        self._tessera = self._open_tessera(keys)
        # Claims, proofs and recovery use the same sender. Its limit of open calls bounds them together.
        self._claims = RivalKeyClaims(keys, self._peers, self._sender)
        self.manager = LocalTransactionManager(
            keys,
            store,
            self._peers,
            self._sender,
            settings.always_send_to,
            self._missing,
            self._proofs(keys),
            self._tessera,
        )
        # One authenticator for all proven requests. A challenge is valid for any of their paths.
        challenges = RequestAuthenticator(keys)
        self.roots = StateRootResponder(challenges)
        self.state_root_client = PeerStateRootClient(self.manager, self._sender)
        self._responders = RespondersBeyondOrion(
            ProofResponder(keys, lambda: self._peers.party_info.url),
            challenges,
            RecoveryResponder(challenges, store, hidden=settings.always_send_to),
            self.roots,
            None if self._tessera is None else TesseraPeerApi(self.manager, self._tessera),
        )
        self._recovery = PayloadRecovery(self.manager, self._sender, was_lost=settings.recover)
        self._full_recovery = FullRecovery(self._recovery, settings.other_nodes)
        self.node_port: int | None = None
        self.client_port: int | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the ports, serve, and call other managers until cancelled. The task is started when every port is open.
        PortUnavailableError, in an exception group, if a port cannot be opened."""
        settings = self._settings
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            # The port is open before the task has started. A caller that waits for the start can connect at once.
            listeners = await open_listeners(settings.node_host, settings.node_port)
            for listener in listeners:
                await stack.enter_async_context(listener)
            self.node_port = bound_port(listeners)
            scheme = "http" if settings.tls is None else "https"
            # The port may be 0 in the settings. So the own URL is known only now, and the proofs of keys need it.
            self._peers.set_own_url(settings.node_url or f"{scheme}://{settings.node_host}:{self.node_port}")
            routes = NodeRoutes(self.manager, self._responders, trio.CapacityLimiter(PEER_WORKERS), self._shares)
            secured = None if settings.tls is None else settings.tls.server
            peers = _connection_server(
                "privacy peers",
                routes,
                secured,
                routes.largest_body,
                ArrivingBodies(MAX_PEER_ARRIVING_BYTES),
                MAX_CONNECTIONS_PER_ADDRESS,
                partial(routes.admits_connection, is_tls=secured is not None),
            )
            nursery.start_soon(peers.serve, listeners)
            if settings.client_port is not None:
                listeners = await open_listeners(settings.client_host, settings.client_port)
                for listener in listeners:
                    await stack.enter_async_context(listener)
                self.client_port = bound_port(listeners)
                clients = _connection_server(
                    "privacy clients",
                    self._client_routes(),
                    settings.client_tls,
                    MAX_BODY_BYTES,
                    ArrivingBodies(MAX_ARRIVING_BYTES),
                )
                nursery.start_soon(clients.serve, listeners)
            # The calls can be made from here on. What calls other managers starts after it.
            await nursery.start(self._sender.run)
            # DNS may not answer at the start. The ports must be open all the same, so this runs beside them.
            nursery.start_soon(allow_private_network_of_own_host, self._policy, settings.node_url)
            nursery.start_soon(ManagerDiscovery(self._peers, self._sender).run)
            nursery.start_soon(self._write_known_managers)
            nursery.start_soon(self._recover)
            for _ in range(MAX_FULL_RECOVERIES_AT_ONCE if settings.recover else 0):
                nursery.start_soon(self._recover_everything)
            nursery.start_soon(self._verify_claims)
            if self._tessera is not None:
                nursery.start_soon(self._call_tesseras, self._tessera)
            log.info("transaction manager is up", node_port=self.node_port, client_port=self.client_port or "off")
            task_status.started()

    def close(self) -> None:
        """Store what is new of the known managers, and close the store. Call it after `run` has ended. A failing store
        raises no error."""
        self._known_managers.write_changes()
        self._store.close()

    def _proofs(self, keys: KeyRing) -> KeyProofs | None:
        """Return the proofs of keys, None if no key needs one.

        If `only_proven` is None, the Orions at `other_nodes` need no proof.
        """
        if self._settings.only_proven is False:
            return None
        return KeyProofs(keys, self._sender, () if self._settings.only_proven else self._settings.other_nodes)

    def _open_tessera(self, keys: KeyRing) -> TesseraNodes | None:
        urls = self._settings.tessera_nodes
        return TesseraNodes(keys, urls, self._sender, lambda: self._peers.party_info.url) if urls else None

    def _confirm_address(self, url: str, address: str) -> None:
        """Keep a part of the processor for the requests that come from `address`, if the manager at `url`, which has
        answered from there, is confirmed, or is a manager or a Tessera of the operator."""
        if self._peers.has_answered(url) or url in self._settings.tessera_nodes:
            self._shares.confirm(address)

    def _is_key_of_called_manager(self, key: bytes) -> bool:
        """Return True if a manager named `key` (32 bytes) as its own when it was called, or if a Tessera has proven it."""
        return self._peers.is_key_of_called_manager(key) or (
            self._tessera is not None and key in self._tessera.key_urls
        )

    def _client_routes(self) -> ClientRoutes:
        token = self._settings.token
        # With a token or client certificates a web page cannot use the API, so any `Host` is accepted.
        any_host = token is not None or self._settings.client_tls is not None or self._settings.client_any_host
        networks = self._settings.client_networks
        limiter = trio.CapacityLimiter(CLIENT_WORKERS)
        return ClientRoutes(self.manager, f"lacnode {__version__}", limiter, token, any_host, networks)

    async def _write_known_managers(self) -> None:
        while True:
            # A thread: the disk may be slow. It is not abandoned when the service stops, so `close` is the only writer.
            await trio.to_thread.run_sync(self._known_managers.write_if_due)
            await trio.sleep(KNOWN_MANAGERS_PAUSE_SECONDS)

    async def _recover(self) -> None:
        """Ask for missing payloads."""
        while True:
            # A thread: to choose among 10,000 payloads takes up to 60 ms, and the event loop has other work.
            wanted = await trio.to_thread.run_sync(self._missing.begin_due_attempts, MAX_WANTED_PAYLOADS)
            if wanted:
                await self._recover_payloads(wanted)
            await trio.sleep(RECOVERY_PAUSE_SECONDS)

    async def _recover_everything(self) -> None:
        """Ask every confirmed manager once for everything, beside the missing payloads. Several of these tasks run."""
        while True:
            # Unconfirmed managers are not asked. A stranger can name thousands of them.
            known = {
                key: url for key, url in self.manager.party_info.keys.items() if self._is_key_of_called_manager(key)
            }
            self._full_recovery.set_managers(known)
            try:
                count = await trio.to_thread.run_sync(self._full_recovery.ask_next, abandon_on_cancel=True)
            except EnclaveUnreachableError as error:
                self._log.warning("not recovered", f"payloads are not recovered: {error}")
                count = None
            if count is None:
                await trio.sleep(RECOVERY_PAUSE_SECONDS)
            else:
                self._log_recovered(count)

    async def _verify_claims(self) -> None:
        while True:
            # A thread, because the proofs are asked with blocking calls. It is abandoned when the service stops.
            await trio.to_thread.run_sync(self._claims.verify_claims, abandon_on_cancel=True)
            await trio.sleep(CLAIMS_PAUSE_SECONDS)

    async def _call_tesseras(self, tesseras: TesseraNodes) -> None:
        while True:
            await trio.to_thread.run_sync(tesseras.exchange_party_info, abandon_on_cancel=True)
            await trio.sleep(TESSERA_PAUSE_SECONDS)

    async def _recover_payloads(self, wanted: list[bytes]) -> None:
        try:
            self._log_recovered(await trio.to_thread.run_sync(self._recover_some, wanted, abandon_on_cancel=True))
        except EnclaveUnreachableError as error:
            self._log.warning("not recovered", f"payloads are not recovered: {error}")

    def _log_recovered(self, count: int) -> None:
        if count:
            self._recovered += count
            text = f"{self._recovered} payloads were recovered from other managers since the start"
            self._log.info("recovered", text)

    def _recover_some(self, wanted: list[bytes]) -> int:
        count = self._recovery.recover_payloads(wanted)
        if self._tessera is None:
            return count
        # Tesseras are asked last and only for what is left: each of them answers one payload for one key in a call.
        left = [
            key
            for key in wanted
            if not any(self.manager.has_payload(key, own) for own in self.manager.keys.public_keys)
        ]
        if not left:
            return count
        recovery = TesseraRecovery(self.manager, self._tessera, was_lost=self._settings.recover)
        return count + recovery.recover_payloads(left)


def _policy(settings: ServiceSettings) -> AddressPolicy:
    """Return the address policy. It follows the own URL (or the interface) and the operator's URLs."""
    # Without an own URL the interface shows the kind of the network: loopback, private or public.
    own = settings.node_url or f"http://{settings.node_host}"
    urls = (own, *settings.other_nodes, *settings.tessera_nodes)
    return AddressPolicy(urls, settings.allowed_networks, settings.denied_networks)


def _connection_server(
    name: str,
    routes: RequestHandler,
    tls: ServerTls | None,
    max_body: int | Callable[[Request], int],
    arriving: ArrivingBodies,
    per_address: float = math.inf,
    admits: Callable[[str], Awaitable[bool]] | None = None,
) -> ConnectionServer:
    # Each port has its own bounds. A flood at the port for peers leaves the port for clients usable.
    backlog = SendBacklog(MAX_WAITING_RESPONSE_BYTES)
    handshakes = None if tls is None else BoundedHandshakes(tls.context)
    refused = RefusedClients("manager")

    async def handle_connection(stream: trio.SocketStream) -> None:
        client = client_address(stream)
        # Before anything is computed for the connection: a handshake costs this side more than the other one.
        if admits is not None and not await admits(client):
            return
        if tls is None or handshakes is None:
            await HttpConnection(stream, routes, max_body, backlog, arriving, client).run()
            return
        # A client that connects and says nothing gets no stream after a while. It would occupy a connection for ever.
        secured = await handshakes.secure(stream, ClientCertificateCheck(tls.trust, refused))
        if secured is not None:
            await HttpConnection(secured, routes, max_body, backlog, arriving, client).run()

    return ConnectionServer(name, MAX_CONNECTIONS, handle_connection, per_address)
