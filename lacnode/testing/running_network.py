"""A running network for a test suite: real validators in this process, in one thread of their own.

>>> with running_network(validators=4, block_period=0.2) as network:
...     web3 = network.web3(0)
"""

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import requests
import trio
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_ports import claim_port_offset
from lacnode.devnet.in_process import MemoryNetwork, build_memory_network
from lacnode.node.logs import configure_logs

START_SECONDS = 30.0


class NetworkFailedError(Exception):
    """The network did not start in time, or stopped because of an error. The text says which one."""


@dataclass(frozen=True, slots=True)
class TestNode:
    """One validator of the network: its name (`validator-1` and so on), its address (0x-hexadecimal), its enode URL and
    the URLs of its ports for HTTP and WebSocket."""

    # pytest would collect a class with this name as a test otherwise.
    __test__ = False

    name: str
    address: str
    enode: str
    rpc_url: str
    ws_url: str


@dataclass(slots=True)
class RunningNetwork:
    """The network while it runs. `accounts` are funded and contain their private keys. Transactions are free
    (`gasPrice` 0). One thread may use it."""

    nodes: tuple[TestNode, ...]
    accounts: tuple[DevnetAccount, ...]
    _clients: dict[int, Web3] = field(default_factory=dict)
    _sessions: list[requests.Session] = field(default_factory=list)

    def web3(self, index: int = 0) -> Web3:
        """Return the web3.py client (HTTP) of the validator at `index`, from 0. Each validator has one client, which is
        kept. IndexError for an unknown index."""
        if index not in self._clients:
            # The session is made here, so that `close_clients` can close its connections.
            session = requests.Session()
            self._sessions.append(session)
            client = Web3(HTTPProvider(self.nodes[index].rpc_url, session=session))
            # An IBFT header's extra data is longer than web3.py expects of a public network.
            client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            self._clients[index] = client
        return self._clients[index]

    def close_clients(self) -> None:
        """Close the clients' connections. The network runs on. The end of `running_network` calls this."""
        for session in self._sessions:
            session.close()


@contextmanager
def running_network(validators: int = 4, block_period: float = 0.2) -> Iterator[RunningNetwork]:
    """Run a network of `validators` nodes in this process with `block_period` seconds between blocks. Yield it once it
    has reached block 1, and stop it when the `with` block is left.

    NetworkFailedError if a node does not reach block 1 in `START_SECONDS`, or, at the end of a `with` block without an
    error, if the network failed meanwhile. NoFreePortsError if no ports are free. It sets the logs of this process to
    errors only, also for the time after it.
    """
    configure_logs("ERROR")
    # The ports stay claimed as long as the network runs, so that suites in parallel get other ports.
    with claim_port_offset(validators) as port_offset:
        network = build_memory_network(validators, block_period, port_offset)
        thread = _NetworkThread(network)
        thread.start()
        if not thread.ready.wait(START_SECONDS) or thread.failure is not None:
            thread.stop()
            raise NetworkFailedError(f"no block within {START_SECONDS:.0f} s: {thread.failure}")
        running = RunningNetwork(_test_nodes(network), network.accounts)
        try:
            yield running
        finally:
            running.close_clients()
            thread.stop()
    # Reached only if the tests of the block passed. A failure of the network must not stay unseen.
    if thread.failure is not None:
        # The whole tree of exceptions: a group's own text does not say what failed.
        raise NetworkFailedError("".join(traceback.format_exception(thread.failure)))


def _test_nodes(network: MemoryNetwork) -> tuple[TestNode, ...]:
    return tuple(
        TestNode(
            name=f"validator-{number}",
            address="0x" + node.key.address.hex(),
            enode=str(node.network.local_enode),
            rpc_url=f"http://127.0.0.1:{node.rpc.http_port}",
            ws_url=f"ws://127.0.0.1:{node.rpc.ws_port}",
        )
        for number, node in enumerate(network.nodes, start=1)
    )


class _NetworkThread(threading.Thread):
    """Runs the event loop of the network. `ready` is set once block 1 is on every node, or `failure` is known."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(name="lacnode", daemon=True)
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._network = network
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()

    def run(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:
            # Kept for the thread of the tests, which raises it. A thread cannot raise an error in another one.
            self.failure = error
        finally:
            # Also after a failure: the tests must not wait for the whole time then.
            self.ready.set()

    async def _run(self) -> None:
        # `stop` needs the token to reach this event loop from the thread of the tests.
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._network.run)
                await self._network.wait_for_block(1)
                self.ready.set()

    def stop(self) -> None:
        """End the network and wait for its thread."""
        if self._token is not None and self.is_alive():
            # The event loop may end between the check and the call.
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self.join(timeout=20)
