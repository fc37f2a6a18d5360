"""The command `lacnode devnet`: it starts a network, shows it, injects faults, and stops it.

Must not import the node: most of these commands only read a manifest and send a signal, and must return at once. The
in-process network is imported by name when the user requests it.
"""

import argparse
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from lacnode.crypto.node_key import KeyFileError
from lacnode.devnet import processes
from lacnode.devnet.allowed_pages import ORIGINS
from lacnode.devnet.devnet_genesis import DEFAULT_CONSENSUS, DEFAULT_FORK, DEVNET_FORKS
from lacnode.devnet.devnet_ports import HIGHEST_OFFSET, NoFreePortsError, claim_port_offset
from lacnode.devnet.devnet_state import DevnetStateError
from lacnode.devnet.managers import wait_for_managers
from lacnode.devnet.manifest import (
    CONSENSUS_GROUPS,
    DevnetError,
    DevnetNode,
    Manifest,
    NetworkShape,
    check_network,
    join_devnet,
    load_manifest,
    make_devnet,
    qbft_start_block,
)
from lacnode.devnet.table import BlockRate, NodeRow, make_table, read_row
from lacnode.privacy.manager.key_files import PrivacyKeyError
from lacnode.rpc.host_cors_filter import HostAndCorsFilter, InvalidCorsOriginError
from lacnode.rpc.json_rpc_client import CallRefusedError, NodeUnreachableError, call

DEFAULT_PATH = Path("devnet-data")
DEFAULT_VALIDATORS, DEFAULT_BLOCK_PERIOD_SECONDS, DEFAULT_PRIVATE_WRITERS = 4, 1.0, 3
START_SECONDS = 60.0
"""The time for the network to reach block 1, and then for its transaction managers to know each other."""

VOTE_SECONDS, VOTE_POLL_SECONDS = 45.0, 0.2
"""The time for a voter to accept a vote for a new candidate, and the time between two attempts."""

PLAIN_INTERVAL_SECONDS, PLAIN_WIDTH_COLUMNS = 10.0, 132
"""Seconds between two tables, and characters in a line, if the output is no terminal."""


def main(argv: list[str]) -> int:
    """Run `lacnode devnet` with the arguments after `devnet`. Return the exit status: 0, or 1 with a message on
    standard error. SystemExit for wrong options and for `--help`. BrokenPipeError if the reader of the output is
    gone."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    # The reader of the output is gone. `lacnode` ends without a word then.
    except BrokenPipeError:
        raise
    # OSError: a full disk, or a directory that this user may not write.
    except (DevnetError, DevnetStateError, KeyFileError, NoFreePortsError, OSError, PrivacyKeyError) as error:
        print(f"devnet: {error}", file=sys.stderr)
        return 1


def _common_options() -> argparse.ArgumentParser:
    """Return a parser with the options of the command and of every verb, so that they may be given before or after the verb.

    It has no defaults: the default of the verb would overwrite a value that was given before it. Each caller gets a parser
    of its own: `set_defaults` of the command would give the verbs its defaults through a shared one.
    """
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--data-path", type=Path, metavar="DIR", help="where the network lives (default devnet-data)")
    common.add_argument("--json", action="store_true", help="print JSON for scripts")
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lacnode devnet",
        parents=[_common_options()],
        description="A network of real nodes on this machine. Without a verb: start it and watch it until Ctrl-C.",
    )
    parser.add_argument("--validators", type=int, metavar="N", help="number of validators (default 4)")
    for role in ("boots", "writers", "observers"):
        parser.add_argument(f"--{role}", type=int, default=0, metavar="N", help=f"number of {role} (default 0)")
    parser.add_argument(
        "--privacy",
        action="store_true",
        help="give every writer a transaction manager (three writers if none are named)",
    )
    parser.add_argument(
        "--flexible-groups", action="store_true", help="with --privacy: groups whose members a private contract lists"
    )
    parser.add_argument(
        "--permissioned", action="store_true", help="let contracts in the genesis decide who may connect and send"
    )
    parser.add_argument(
        "--fork",
        choices=DEVNET_FORKS,
        help=f"rules of the EVM (default {DEFAULT_FORK}, with a base fee of 0; lacchain is as in LACChain's networks)",
    )
    parser.add_argument(
        "--blocks-on-demand",
        action="store_true",
        help="make a block when a transaction waits, and none otherwise",
    )
    parser.add_argument(
        "--consensus", choices=CONSENSUS_GROUPS, help=f"how validators agree on blocks (default {DEFAULT_CONSENSUS})"
    )
    parser.add_argument("--qbft-start-block", type=int, metavar="N", help="go from IBFT 2.0 to QBFT at block N")
    parser.add_argument(
        "--block-period", type=float, metavar="SECONDS", help="seconds between blocks, fractions allowed (default 1)"
    )
    parser.add_argument(
        "--port-offset",
        type=int,
        metavar="N",
        help="add N to the ports 30303 and 8545 from which a new network counts (default: the first free hundred)",
    )
    parser.add_argument(
        "--cors-origins",
        metavar="REGEX,...",
        help="origins of web pages that may use the ports; * admits all (default: this machine, extensions, Remix)",
    )
    parser.add_argument("--detach", action="store_true", help="return once block 1 is on every node")
    parser.add_argument("--in-process", action="store_true", help="all nodes in one process, nothing on disk")
    parser.set_defaults(run=_up, data_path=DEFAULT_PATH, json=False)
    parser.set_defaults(
        **dict.fromkeys(
            ("validators", "block_period", "port_offset", "fork", "consensus", "cors_origins", "qbft_start_block")
        )
    )
    verbs = parser.add_subparsers(title="verbs", metavar="")
    actions: tuple[tuple[str, Callable[[argparse.Namespace], int], str], ...] = (
        ("status", _status, "one look at the network"),
        ("stop", _stop, "stop every node; the data stays"),
        ("kill", _each(processes.kill, "killed"), "kill -9 the named nodes"),
        ("start", _start, "start the named nodes, or those that are down"),
        ("pause", _each(processes.pause, "paused"), "freeze the named nodes, connections open"),
        ("resume", _each(processes.resume, "resumed"), "let paused nodes go on"),
        ("partition", _partition, "cut the named nodes off from all others"),
        ("heal", _heal, "undo partitions, of the named nodes or of all"),
        ("join", _join, "add nodes that know only the genesis and a boot node, and start them"),
        ("vote", _vote, "have every validator vote for the named nodes to be validators"),
    )
    # Node names are optional for the verbs that can act on all nodes.
    for name, run, text in actions:
        verb = verbs.add_parser(name, parents=[_common_options()], help=text)
        if run not in (_status, _stop):
            verb.add_argument("nodes", nargs="*" if run in (_start, _heal) else "+", metavar="NODE")
        if run is _vote:
            verb.add_argument("--drop", action="store_true", help="vote for them to be validators no longer")
            verb.add_argument("--force", action="store_true", help="vote even where that may stop the network")
        verb.set_defaults(run=run)
    return parser


# -- the network as a whole --------------------------------------------------------------------------------------


def _up(arguments: argparse.Namespace) -> int:
    if arguments.port_offset is not None and not 0 <= arguments.port_offset <= HIGHEST_OFFSET:
        raise DevnetError(f"--port-offset must be between 0 and {HIGHEST_OFFSET}, not {arguments.port_offset}")
    # A network that exists is started again with its own files. Only a new one is made from the options.
    manifest = None if arguments.in_process else load_manifest(arguments.data_path)
    if manifest is not None:
        _check_same(manifest, arguments)
        return _run(manifest, arguments)
    validators = DEFAULT_VALIDATORS if arguments.validators is None else arguments.validators
    block_period = DEFAULT_BLOCK_PERIOD_SECONDS if arguments.block_period is None else arguments.block_period
    writers = DEFAULT_PRIVATE_WRITERS if arguments.privacy and not arguments.writers else arguments.writers
    shape = NetworkShape(
        validators,
        arguments.boots,
        writers,
        arguments.observers,
        arguments.permissioned,
        arguments.privacy,
        arguments.flexible_groups,
        arguments.fork or DEFAULT_FORK,
        arguments.blocks_on_demand,
        arguments.consensus or DEFAULT_CONSENSUS,
        ORIGINS if arguments.cors_origins is None else _origins(arguments.cors_origins),
        arguments.qbft_start_block,
    )
    check_network(shape, block_period)
    if arguments.in_process and shape != NetworkShape(validators, fork=shape.fork, consensus=shape.consensus):
        raise DevnetError("--in-process networks have validators alone and no permissions")
    # The hundred stays claimed until the nodes listen: another devnet that starts now gets other ports.
    with _ports(arguments.port_offset, len(shape.roles())) as port_offset:
        if arguments.in_process:
            module = importlib.import_module("lacnode.devnet.in_process")
            names = shape.fork, shape.consensus
            return int(module.run_in_process_devnet(validators, block_period, port_offset, arguments.json, *names))
        # A directory with other data must not be mixed with a devnet, which the user may delete as a whole later.
        if arguments.data_path.exists() and any(arguments.data_path.iterdir()):
            raise DevnetError(f"{arguments.data_path} is not empty and holds no devnet; choose another --data-path")
        return _run(make_devnet(arguments.data_path, shape, block_period, port_offset), arguments)


def _origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list. DevnetError if one is no regular expression."""
    origins = tuple(text.split(","))
    try:
        HostAndCorsFilter((), origins)
    except InvalidCorsOriginError as error:
        raise DevnetError(f"--cors-origins: {error}") from None
    return origins


def _ports(wanted: int | None, nodes: int) -> AbstractContextManager[int]:
    return claim_port_offset(nodes) if wanted is None else nullcontext(wanted)


def _check_same(manifest: Manifest, arguments: argparse.Namespace) -> None:
    """Raise DevnetError if the options differ from those that the network was made with."""
    found = {
        "validators": (len(manifest.nodes_with_role("validator")), "{} validators"),
        "block_period": (manifest.block_period, "a block period of {} s"),
        "port_offset": (manifest.port_offset, "a port offset of {}"),
        "fork": (manifest.fork, "the fork {}"),
        "consensus": (manifest.consensus, "the consensus {}"),
        "cors_origins": (",".join(manifest.cors_origins), "the CORS origins {}"),
        "qbft_start_block": (qbft_start_block(manifest), "the first QBFT block {}"),
    }
    for name, (value, text) in found.items():
        if getattr(arguments, name) not in (None, value):
            raise DevnetError(
                f"{manifest.path} holds a network of {text.format(value)}; remove it or choose another --data-path"
            )


def _run(manifest: Manifest, arguments: argparse.Namespace) -> int:
    down = [node for node in manifest.nodes if processes.find_pid(node) is None]
    if not down:
        raise DevnetError(f"the network under {manifest.path} already runs; `lacnode devnet stop` stops it")
    # From the first process on: a signal during the start must stop the nodes that run already.
    with _stop_signals():
        try:
            # Only nodes that are down: a network may run in part after `kill`.
            for node in down:
                processes.start(node)
            say = _quiet if arguments.json else _said
            processes.wait_for_block(manifest.nodes, 1, START_SECONDS, say)
            # After the block: the managers start in the processes of the nodes, which run by then.
            wait_for_managers(manifest.nodes, START_SECONDS)
            _introduce(manifest, arguments.json)
            if arguments.detach:
                return 0
            _watch(manifest, arguments.json)
        except KeyboardInterrupt:
            _tell("stopping")
        # Any error stops the nodes that started: the user must not have to find half a network. A write to a
        # closed terminal, or to a pipe that nothing reads, is an error too.
        except BaseException:
            _end_nodes(manifest)
            raise
        _end_nodes(manifest)
    _tell(f"stopped; the network stays in {manifest.path}")
    return 0


def _end_nodes(manifest: Manifest) -> None:
    # A closed terminal is told by its signal and by failing writes, in any order. The later one must not end the stop.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    processes.stop_all(manifest.nodes)


def _tell(text: str) -> None:
    """Print a line about the end. The terminal may be gone, which must not keep nodes from being stopped."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def _introduce(manifest: Manifest, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_document(manifest)), flush=True)
        return
    print("\nfunded accounts (never use these keys anywhere else):")
    for account in manifest.accounts:
        print(f"  {account.address}  {account.private_key}")
    if manifest.has_endpoint:
        print(f"\nfor developers (accounts, snapshots, time): {manifest.developer_url}")
    print("\nnodes:")
    for node in manifest.nodes:
        print(f"  {node.name}  {node.rpc_url}  {node.ws_url}")
    members = [node for node in manifest.nodes if node.privacy_key is not None]
    if members:
        print("\ntransaction managers, by their public keys:")
    for node in members:
        print(f"  {node.name}  {node.privacy_key}")
    if manifest.permissioned:
        print(f"\nthe first account may change the rules; its key for lacnode permissions: {manifest.admin_key_file}")
    print(f"\ndata in {manifest.path}\n", flush=True)


def _document(manifest: Manifest) -> dict[str, object]:
    """Return the document that `--json` prints for scripts."""
    return {
        "nodes": [
            {
                "name": node.name,
                "role": node.role,
                "address": node.address,
                "enode": node.enode,
                "rpc_url": node.rpc_url,
                "ws_url": node.ws_url,
                "pid": processes.find_pid(node),
                "data_path": node.data_path,
                "privacy_public_key": node.privacy_key,
            }
            for node in manifest.nodes
        ],
        "developer_url": manifest.developer_url if manifest.has_endpoint else None,
        "accounts": [asdict(account) for account in manifest.accounts],
        "admin_key_file": str(manifest.admin_key_file) if manifest.permissioned else None,
    }


def _watch(manifest: Manifest, quiet: bool) -> None:
    """Show the table until interrupted. If the output is no terminal, print it every `PLAIN_INTERVAL_SECONDS`."""
    console = _console()
    rates = BlockRate()
    if not console.is_terminal or quiet:
        while True:
            rows, speeds = _look(manifest, rates)
            if not quiet:
                console.print(make_table(rows, speeds, console.width))
            time.sleep(PLAIN_INTERVAL_SECONDS)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            rows, speeds = _look(manifest, rates)
            live.update(make_table(rows, speeds, console.width), refresh=True)
            time.sleep(0.5)


def _console() -> Console:
    """Return a console. Without a terminal, which has a width of its own, it is wide enough for the table."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH_COLUMNS)


def _look(manifest: Manifest, rates: BlockRate) -> tuple[list[NodeRow], list[float | None]]:
    rows = [read_row(node) for node in manifest.nodes]
    return rows, [rates.add(row) for row in rows]


def _status(arguments: argparse.Namespace) -> int:
    manifest = _found(arguments)
    rows = [read_row(node) for node in manifest.nodes]
    if arguments.json:
        document = _document(manifest)
        states = [
            {"state": row.state, "height": row.height, "round": row.round, "peers": row.peers, "pending": row.pending}
            for row in rows
        ]
        nodes = document["nodes"]
        assert isinstance(nodes, list)
        document["nodes"] = [{**node, **state} for node, state in zip(nodes, states, strict=True)]
        print(json.dumps(document))
    else:
        console = _console()
        console.print(make_table(rows, [None] * len(rows), console.width))
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    manifest = _found(arguments)
    processes.stop_all(manifest.nodes)
    if not arguments.json:
        print(f"stopped; the network stays in {manifest.path}")
    return 0


# -- faults on demand ------------------------------------------------------------------------------------------


def _each(act: Callable[[DevnetNode], None], done: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        manifest = _found(arguments)
        # The list is made first: a wrong name must be reported before the first node is touched.
        for node in [manifest.node(name) for name in arguments.nodes]:
            act(node)
            _report(arguments, f"{node.name} {done}")
        return 0

    return run


def _start(arguments: argparse.Namespace) -> int:
    manifest = _found(arguments)
    named = [manifest.node(name) for name in arguments.nodes]
    for node in named or [node for node in manifest.nodes if processes.find_pid(node) is None]:
        processes.start(node)
        _report(arguments, f"{node.name} started")
    return 0


def _partition(arguments: argparse.Namespace) -> int:
    processes.partition(_found(arguments), arguments.nodes)
    _report(arguments, f"{', '.join(arguments.nodes)} cut off from the others")
    return 0


def _heal(arguments: argparse.Namespace) -> int:
    processes.heal(_found(arguments), arguments.nodes)
    _report(arguments, "healed")
    return 0


def _join(arguments: argparse.Namespace) -> int:
    manifest = _found(arguments)
    for name in arguments.nodes:
        manifest, node = join_devnet(manifest, name)
        processes.start(node)
        _report(arguments, f"{name} started, {node.rpc_url}, address {node.address}, {node.enode}")
    return 0


def _vote(arguments: argparse.Namespace) -> int:
    manifest = _found(arguments)
    method = f"{CONSENSUS_GROUPS[manifest.consensus].lower()}_proposeValidatorVote"
    for candidate in [manifest.node(name) for name in arguments.nodes]:
        for voter in [node for node in manifest.nodes if processes.find_pid(node) is not None]:
            _take_vote(voter, method, [candidate.address, not arguments.drop, arguments.force])
        _report(arguments, f"every running node votes {'against' if arguments.drop else 'for'} {candidate.name}")
    return 0


def _take_vote(voter: DevnetNode, method: str, vote: list[object]) -> None:
    """Let `voter` vote, by the RPC method of its protocol, and try again while it refuses: a node that has just joined may
    not be connected to it yet.

    DevnetError if the voter cannot be reached, or still refuses after `VOTE_SECONDS`.
    """
    deadline = time.monotonic() + VOTE_SECONDS
    while True:
        try:
            call(voter.rpc_url, method, vote)
            return
        except NodeUnreachableError as error:
            raise DevnetError(f"{voter.name} did not take the vote: {error}") from None
        except CallRefusedError as refusal:
            if time.monotonic() > deadline:
                raise DevnetError(f"{voter.name}: {refusal.message} (--force votes all the same)") from None
        time.sleep(VOTE_POLL_SECONDS)


def _found(arguments: argparse.Namespace) -> Manifest:
    manifest = load_manifest(arguments.data_path)
    if manifest is None:
        raise DevnetError(f"no devnet under {arguments.data_path}; `lacnode devnet` makes one")
    return manifest


def _report(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.json:
        print(text)


def _said(text: str) -> None:
    print(text, file=sys.stderr)


def _quiet(text: str) -> None:
    """Drop a line about the progress: the user requested JSON."""


@contextmanager
def _stop_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP end the network like Ctrl-C."""
    # The nodes have sessions of their own and do not get the signals of a closed terminal. They would run on without
    # this.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
