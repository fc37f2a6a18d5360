"""Work of a native library that cannot be stopped, in a process of its own, which is killed when the budget ends.

Must not know what is computed.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import IO

from lacnode.evm.budget import CHECK_INTERVAL_SECONDS


def compute_apart(program: str, library: ModuleType, data: bytes, check: Callable[[], None]) -> bytes | None:
    """What `program`, a Python text that may import `library`, writes for `data`. None if its process ends otherwise.

    `program` reads standard input and writes standard output. `check` is called every now and then and may raise.
    """
    command = [sys.executable, "-I", "-S", "-c", _START + program, str(Path(library.__file__ or "").parents[1])]
    with TemporaryFile() as given:
        # A pipe would take megabytes only while this process writes, and `communicate` does not go on after a time-out.
        given.write(data)
        given.seek(0)
        return _output(command, given, check)


def _output(command: Sequence[str], given: IO[bytes], check: Callable[[], None]) -> bytes | None:
    # A session of its own: what a terminal sends to this process' group is not for it.
    with subprocess.Popen(
        command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as child:
        try:
            while True:
                try:
                    output, _ = child.communicate(timeout=CHECK_INTERVAL_SECONDS / 2)
                    break
                except subprocess.TimeoutExpired:
                    check()
        except BaseException:
            child.kill()
            raise
    return output if child.returncode == 0 else None


_START = """
import sys
sys.path.insert(0, sys.argv[1])
"""
