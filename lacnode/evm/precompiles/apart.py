"""Work of a native library that cannot be stopped, in a process of its own, which is killed when the budget ends.

Must not know the meaning of the work.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType

from lacnode.evm.budget import CHECK_INTERVAL_SECONDS


def compute_in_child_process(program: str, library: ModuleType, data: bytes, check: Callable[[], None]) -> bytes | None:
    """Return the output of `program`, the text of a Python program that may import `library`, for the input `data`.
    None if no process can be started, or it ends with an error.

    `program` reads standard input and writes standard output. `check` is called several times a second and may raise:
    the process is killed then, and the error reaches the caller.
    """
    # Isolated and without `site`: the process starts in a fraction of the time, and reads no variable of the
    # environment.
    command = [sys.executable, "-I", "-S", "-c", _START + program, str(Path(library.__file__ or "").parents[1])]
    try:
        child = _start(command, data)
    # No memory, no number for a process, no descriptor, or a full disk. An error here would be one of the
    # transaction, which a proposer would drop, and one of the block, which this node could not check.
    except OSError:
        return None
    return _output(child, check)


def _start(command: Sequence[str], data: bytes) -> subprocess.Popen[bytes]:
    """Start a process that reads `data`. Raises OSError."""
    with TemporaryFile() as given:
        # A pipe would take megabytes only while this process writes, and `communicate` does not go on after a time-out.
        given.write(data)
        given.seek(0)
        # A session of its own: signals that a terminal sends to this process' group do not reach it.
        return subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )


def _output(child: subprocess.Popen[bytes], check: Callable[[], None]) -> bytes | None:
    with child:
        try:
            while True:
                try:
                    output, _ = child.communicate(timeout=CHECK_INTERVAL_SECONDS / 2)
                    break
                except subprocess.TimeoutExpired:
                    check()
        # Also a cancelled execution: without a reader the process would go on for minutes.
        except BaseException:
            child.kill()
            raise
    return output if child.returncode == 0 else None


_START = """
import sys
sys.path.insert(0, sys.argv[1])
"""
