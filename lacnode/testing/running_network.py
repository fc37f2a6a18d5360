"""A running network for a test suite: real validators in this process, in a thread of their own.

>>> with running_network(validators=4, block_period=0.2) as network:
...     web3 = network.web3(0)
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import requests
import trio
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_ports import claimed_ports
from lacnode.devnet.in_process import MemoryNetwork, build_network
from lacnode.node.logs import configure_logs

START_SECONDS = 30.0


class NetworkFailedError(Exception):
    """The network did not come up, or broke down."""


@dataclass(frozen=True, slots=True)
class TestNode:
    """One validator's addresses."""

    __test__ = False

    name: str
    address: str
    enode: str
    rpc_url: str
    ws_url: str


@dataclass(slots=True)
class RunningNetwork:
    """The network while it runs. `accounts` are funded. Transactions are free (`gasPrice` 0)."""

    nodes: tuple[TestNode, ...]
    accounts: tuple[DevnetAccount, ...]
    _clients: dict[int, Web3] = field(default_factory=dict)
    _sessions: list[requests.Session] = field(default_factory=list)

    def web3(self, index: int = 0) -> Web3:
        """A web3.py client of the validator at `index`."""
        if index not in self._clients:
            session = requests.Session()
            self._sessions.append(session)
            client = Web3(HTTPProvider(self.nodes[index].rpc_url, session=session))
            # An IBFT header's extra data is longer than web3.py expects of a public network.
            client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            self._clients[index] = client
        return self._clients[index]

    def close_clients(self) -> None:
        """Close the clients' connections."""
        for session in self._sessions:
            session.close()


@contextmanager
def running_network(validators: int = 4, block_period: float = 0.2) -> Iterator[RunningNetwork]:
    """A network that has reached block 1. It stops when the block is left."""
    configure_logs("ERROR")
    with claimed_ports(validators) as port_offset:
        network = build_network(validators, block_period, port_offset)
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
    if thread.failure is not None:
        raise NetworkFailedError(str(thread.failure))


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
    """Runs the event loop of the network."""

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
            self.failure = error
        finally:
            self.ready.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._network.run)
                await self._network.wait_for_block(1)
                self.ready.set()

    def stop(self) -> None:
        """End the network and wait for its thread."""
        if self._token is not None and self.is_alive():
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self.join(timeout=20)
