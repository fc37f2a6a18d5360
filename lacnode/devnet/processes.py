"""The nodes of a devnet as processes: started, watched, stopped, and broken on purpose.

A node is known by its pid file, so that any later command finds it, and by its configuration file among the arguments of
the process, so that a reused pid is not signalled. It has ended when its last thread has: until then its files are locked
and it cannot be started again. Nodes run in sessions of their own: Ctrl-C reaches the devnet command alone, which then
stops them in good order.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from lacnode.devnet.manifest import DevnetError, DevnetNode, Manifest
from lacnode.rpc.json_rpc_client import NodeUnreachableError, call_all
from lacnode.storage.atomic_file import replace_text

STOP_SECONDS = 20.0
"""How long a node may take to stop before it is killed, and to pause."""

KILL_SECONDS = 20.0
"""How long a killed node may take to be gone: a thread that is writing to a slow disk ends when that is done."""

POLL_SECONDS = 0.02


def find_pid(node: DevnetNode) -> int | None:
    """The process id of `node` if it runs (paused counts), else None."""
    try:
        pid = int(node.pid_file.read_text("ascii"))
        command = _command_line(pid)
    except (OSError, ValueError):
        return None
    # A process that is just being started has no arguments yet, and one that is ending none any more.
    is_node = not command or str(node.config_file).encode() in command
    return pid if is_node and not _has_ended(pid) else None


def start(node: DevnetNode) -> None:
    """Start `node`. DevnetError if it already runs."""
    if find_pid(node) is not None:
        raise DevnetError(f"{node.name} already runs")
    with node.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lacnode", "--config-file", str(node.config_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    replace_text(node.pid_file, f"{process.pid}\n")


def stop_all(nodes: Iterable[DevnetNode]) -> None:
    """Ask every node to stop, wait, and kill what has not stopped in time. DevnetError if one is not gone even so."""
    running = [(node, pid) for node in nodes if (pid := find_pid(node)) is not None]
    for _, pid in running:
        _signal(pid, signal.SIGTERM)
        _signal(pid, signal.SIGCONT)
    deadline = time.monotonic() + STOP_SECONDS
    late = [(node, pid) for node, pid in running if not _wait_until_gone(node, deadline)]
    for _, pid in late:
        _signal(pid, signal.SIGKILL)
    for node, pid in late:
        _check_gone(node, pid)


def kill(node: DevnetNode) -> None:
    """`kill -9`: the node has no chance to say goodbye. Its files are free on return. DevnetError if they never are."""
    pid = _running_pid(node)
    _signal(pid, signal.SIGKILL)
    _check_gone(node, pid)


def _check_gone(node: DevnetNode, pid: int) -> None:
    if not _wait_until_gone(node, time.monotonic() + KILL_SECONDS):
        raise DevnetError(f"{node.name} (process {pid}) was killed and is not gone after {KILL_SECONDS:.0f} s")


def pause(node: DevnetNode) -> None:
    """Stop the node's clock and hands. Its connections stay open and silent."""
    _signal(_running_pid(node), signal.SIGSTOP)
    if not _comes_true(lambda: is_paused(node), time.monotonic() + STOP_SECONDS):
        raise DevnetError(f"{node.name} was told to pause and has not after {STOP_SECONDS:.0f} s")


def resume(node: DevnetNode) -> None:
    """Let a paused node go on."""
    _signal(_running_pid(node), signal.SIGCONT)


def is_paused(node: DevnetNode) -> bool:
    """Whether the node runs but has been paused."""
    pid = find_pid(node)
    return pid is not None and _state(pid)[0] == "T"


def partition(manifest: Manifest, names: Sequence[str]) -> None:
    """Cut the named nodes off from all others. Among themselves they stay connected."""
    inside = {manifest.node(name).name for name in names}
    if len(inside) == len(manifest.nodes):
        raise DevnetError("a partition needs nodes on both sides")
    for node in manifest.nodes:
        other_side = [other for other in manifest.nodes if (other.name in inside) != (node.name in inside)]
        _write_faults(node, [other.node_id for other in other_side])


def heal(manifest: Manifest, names: Sequence[str]) -> None:
    """Undo partitions for the named nodes, or for all when none is named."""
    healed = {manifest.node(name).node_id for name in names} or {node.node_id for node in manifest.nodes}
    for node in manifest.nodes:
        remaining = [] if node.node_id in healed else [id_ for id_ in _faults(node) if id_ not in healed]
        _write_faults(node, remaining)


def wait_for_block(
    nodes: Iterable[DevnetNode], number: int, seconds: float, progress: Callable[[str], None] = lambda text: None
) -> None:
    """Return once block `number` is on every node. DevnetError, with the end of a log, if that takes longer than
    `seconds` or a node stops."""
    deadline = time.monotonic() + seconds
    waiting = list(nodes)
    while waiting:
        node = waiting[0]
        if _height(node) >= number:
            progress(f"{node.name} has block {number}")
            waiting.pop(0)
            continue
        if find_pid(node) is None:
            raise DevnetError(f"{node.name} stopped while starting:\n{log_tail(node)}")
        if time.monotonic() > deadline:
            raise DevnetError(
                f"{node.name} has no block {number} after {seconds:.0f} s; its log ends:\n{log_tail(node)}"
            )
        time.sleep(POLL_SECONDS)


def _height(node: DevnetNode) -> int:
    """The head of `node`, -1 while it does not answer. A stranger that sits on its port does not answer for it."""
    try:
        number, enode = call_all(node.rpc_url, [("eth_blockNumber", []), ("net_enode", [])])
    except NodeUnreachableError:
        return -1
    is_ours = isinstance(enode, str) and node.node_id in enode
    return int(number, 16) if is_ours and isinstance(number, str) else -1


def log_tail(node: DevnetNode, lines: int = 15) -> str:
    """The last lines of the node's log."""
    try:
        with node.log_file.open("rb") as file:
            file.seek(max(0, node.log_file.stat().st_size - 8192))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


def _running_pid(node: DevnetNode) -> int:
    pid = find_pid(node)
    if pid is None:
        raise DevnetError(f"{node.name} does not run")
    return pid


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_until_gone(node: DevnetNode, deadline: float) -> bool:
    def is_gone() -> bool:
        _reap_children()
        return find_pid(node) is None

    return _comes_true(is_gone, deadline)


def _comes_true(condition: Callable[[], bool], deadline: float) -> bool:
    """Whether `condition` holds before `deadline` (monotonic seconds)."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _reap_children() -> None:
    """A stopped child of this process stays a zombie until it is waited for."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _command_line(pid: int) -> bytes:
    """The arguments of a process, joined by zero bytes. OSError if it does not exist."""
    if os.path.isdir("/proc"):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return listing.stdout


def _has_ended(pid: int) -> bool:
    """Whether nothing is left of a process but its entry in the process table.

    Where its first thread has ended and others have not, as while a killed one still writes, it shows as a zombie too.
    """
    state, threads = _state(pid)
    return state in ("", "Z") and threads <= 1


def _state(pid: int) -> tuple[str, int]:
    """The letter of a process's state, empty if it does not exist, and how many threads it has where that can be told."""
    if os.path.isdir("/proc"):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return "", 0
        return fields[0], int(fields[17])
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False, text=True)
    return listing.stdout.strip()[:1], 1


def _faults(node: DevnetNode) -> list[str]:
    try:
        return [str(id_) for id_ in json.loads(node.faults_file.read_text("ascii"))]
    except (OSError, ValueError):
        return []


def _write_faults(node: DevnetNode, ids: Sequence[str]) -> None:
    replace_text(node.faults_file, json.dumps(list(ids)))
