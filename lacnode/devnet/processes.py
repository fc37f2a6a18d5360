"""The nodes of a devnet as processes: it starts, watches and stops them, and injects faults.

A later command finds a node by its pid file. The process must also have the node's configuration file among its arguments:
the pid may belong to another process by now, which must not get a signal. A node has ended when its last thread has ended.
Until then its files are locked, and it cannot be started again. Nodes run in sessions of their own: Ctrl-C reaches only the
devnet command, which then stops them in order.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from lacnode.devnet.manifest import DevnetError, DevnetNode, Manifest
from lacnode.rpc.json_rpc_client import NodeUnreachableError, call_all, read_quantity
from lacnode.storage.atomic_file import replace_text

STOP_SECONDS = 20.0
"""The time for a node to stop before it is killed, and to pause."""

KILL_SECONDS = 20.0
"""The time for a killed node to end. A thread that writes to a slow disk ends only after its write."""

POLL_SECONDS = 0.02


def find_pid(node: DevnetNode) -> int | None:
    """Return the process id of `node` if its process runs or is paused. None if it has ended, or was never started."""
    try:
        pid = int(node.pid_file.read_text("ascii"))
        command = _command_line(pid)
    except (OSError, ValueError):
        return None
    # A process that has just been started has no arguments yet. One that is ending has lost them.
    is_node = not command or str(node.config_file).encode() in command
    return pid if is_node and not _has_ended(pid) else None


def start(node: DevnetNode) -> None:
    """Start the process of `node`, and do not wait for it. DevnetError if it already runs. OSError if a file cannot be
    written.
    """
    if find_pid(node) is not None:
        raise DevnetError(f"{node.name} already runs")
    with node.log_file.open("ab") as log:
        process = subprocess.Popen(
            # -P: a directory called lacnode beside the user must not be taken for the program.
            [sys.executable, "-P", "-m", "lacnode", "--config-file", str(node.config_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C must not reach the node directly. With `--detach` the node must outlive this command.
            start_new_session=True,
        )
    # Written by this process and not only by the node: the next command must find a node that has just begun to start.
    replace_text(node.pid_file, f"{process.pid}\n")


def stop_all(nodes: Iterable[DevnetNode]) -> None:
    """Ask every node to stop, wait up to `STOP_SECONDS` for all of them, and kill the nodes that have not stopped by
    then. Nodes that do not run are passed over. DevnetError if a killed node does not end."""
    running = [(node, pid) for node in nodes if (pid := find_pid(node)) is not None]
    for _, pid in running:
        _signal(pid, signal.SIGTERM)
        # A paused node gets the first signal only when it goes on.
        _signal(pid, signal.SIGCONT)
    deadline = time.monotonic() + STOP_SECONDS
    # All nodes stop at the same time and share one deadline.
    late = [(node, pid) for node, pid in running if not _wait_until_gone(node, deadline)]
    for _, pid in late:
        _signal(pid, signal.SIGKILL)
    for node, pid in late:
        _check_gone(node, pid)


def kill(node: DevnetNode) -> None:
    """Kill the node with SIGKILL: it cannot close its connections or write anything. Its files are free on return.

    DevnetError if it does not run or does not end.
    """
    pid = _running_pid(node)
    _signal(pid, signal.SIGKILL)
    _check_gone(node, pid)


def _check_gone(node: DevnetNode, pid: int) -> None:
    if not _wait_until_gone(node, time.monotonic() + KILL_SECONDS):
        raise DevnetError(f"{node.name} (process {pid}) was killed and is not gone after {KILL_SECONDS:.0f} s")


def pause(node: DevnetNode) -> None:
    """Pause the node with SIGSTOP. Its connections stay open and silent. DevnetError if it does not run or does not
    pause."""
    _signal(_running_pid(node), signal.SIGSTOP)
    # A process stops some time after the signal. A test that goes on earlier would still see it answer.
    if not _comes_true(lambda: is_paused(node), time.monotonic() + STOP_SECONDS):
        raise DevnetError(f"{node.name} was told to pause and has not after {STOP_SECONDS:.0f} s")


def resume(node: DevnetNode) -> None:
    """Let a paused node go on. Nothing happens to one that is not paused. DevnetError if it does not run."""
    _signal(_running_pid(node), signal.SIGCONT)


def is_paused(node: DevnetNode) -> bool:
    """Return whether the node is paused. False if it does not run."""
    pid = find_pid(node)
    return pid is not None and _state(pid)[0] == "T"


def partition(manifest: Manifest, names: Sequence[str]) -> None:
    """Cut the named nodes off from all others. The named nodes stay connected with each other, and so do the others.
    Earlier partitions end. DevnetError if a name is unknown, or if no node would be on the other side. The running
    nodes read their lists within a second. OSError if a list cannot be written."""
    inside = {manifest.node(name).name for name in names}
    if len(inside) == len(manifest.nodes):
        raise DevnetError("a partition needs nodes on both sides")
    # Both sides get their list: no node on either side may dial the other side again.

    for node in manifest.nodes:
        other_side = [other for other in manifest.nodes if (other.name in inside) != (node.name in inside)]
        _write_faults(node, [other.node_id for other in other_side])


def heal(manifest: Manifest, names: Sequence[str]) -> None:
    """Let the named nodes, or all nodes if `names` is empty, connect with every node again. Other nodes that are cut
    off from each other stay so. DevnetError if a name is unknown. The running nodes read their lists within a second.
    OSError if a list cannot be written."""
    # A healed node must leave the lists of all others as well: a connection needs the consent of both sides.
    healed = {manifest.node(name).node_id for name in names} or {node.node_id for node in manifest.nodes}
    for node in manifest.nodes:
        remaining = [] if node.node_id in healed else [id_ for id_ in _faults(node) if id_ not in healed]
        _write_faults(node, remaining)


def wait_for_block(
    nodes: Iterable[DevnetNode], number: int, seconds: float, progress: Callable[[str], None] = lambda text: None
) -> None:
    """Return once block `number` is on every node. It blocks. `progress` gets a sentence for each node that has it.
    DevnetError, with the end of a log, if it takes longer than `seconds` or a node does not run."""
    deadline = time.monotonic() + seconds
    waiting = list(nodes)
    while waiting:
        node = waiting[0]
        # One node after the other: the wait ends when the last one has the block, so the order does not matter.
        if _height(node) >= number:
            progress(f"{node.name} has block {number}")
            waiting.pop(0)
            continue
        # Asked after the height and before the time: a node that has ended explains the delay better than the time
        # does.
        if find_pid(node) is None:
            raise DevnetError(f"{node.name} stopped while starting:\n{log_tail(node)}")
        if time.monotonic() > deadline:
            raise DevnetError(
                f"{node.name} has no block {number} after {seconds:.0f} s; its log ends:\n{log_tail(node)}"
            )
        time.sleep(POLL_SECONDS)


def _height(node: DevnetNode) -> int:
    """Return the head's number of `node`, -1 while it does not answer. The answer of another process on its port does not
    count: its enode is different."""
    try:
        number, enode = call_all(node.rpc_url, [("eth_blockNumber", []), ("net_enode", [])])
    except NodeUnreachableError:
        return -1
    height = read_quantity(number)
    return height if height is not None and isinstance(enode, str) and node.node_id in enode else -1


def log_tail(node: DevnetNode, lines: int = 15) -> str:
    """Return the last `lines` lines of the node's log, from its last 8 KiB: the first of them may be cut. A text in
    parentheses if it cannot be read."""
    try:
        with node.log_file.open("rb") as file:
            # The log of a network that ran for days is large. Its last 8 KiB hold the lines.
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
    """Wait for `condition`. Return False if it does not hold before `deadline` (monotonic seconds)."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _reap_children() -> None:
    """Collect the ended children of this process. They stay in the process table as zombies until then."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _command_line(pid: int) -> bytes:
    """Return the arguments of a process, joined by zero bytes. OSError if it does not exist."""
    if os.path.isdir("/proc"):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return listing.stdout


def _has_ended(pid: int) -> bool:
    """Return True if a process does not exist, or has only its entry in the process table left.

    A process also has the state of a zombie if its first thread has ended and other threads have not. A killed process is in
    this state while a thread still writes. The number of threads tells the two cases apart.

    """
    state, threads = _state(pid)
    return state in ("", "Z") and threads <= 1


def _state(pid: int) -> tuple[str, int]:
    """Return the letter of a process's state, empty if it does not exist, and the number of its threads. The number is 1 if
    the system does not show it."""
    if os.path.isdir("/proc"):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                # The second field is the name of the program in parentheses, which may contain spaces and parentheses.
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
