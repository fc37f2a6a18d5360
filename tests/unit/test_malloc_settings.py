"""Memory that was freed goes back to the system. In a process of its own: what is set holds for the whole process."""

import platform
import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent("""
    import sys
    import threading
    from lacnode.malloc_settings import configure_malloc

    def anonymous_bytes():
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

    def use_buffers(pins):
        for _ in range(8):
            long_ones = [bytearray(b"x") * (512 * 1024) for _ in range(8)]
            pins.append(bytearray(b"x") * 1024)  # it lies behind them
            del long_ones

    if sys.argv[1] == "set":
        configure_malloc()
    before = anonymous_bytes()
    pins = [[] for _ in range(8)]
    threads = [threading.Thread(target=use_buffers, args=(each,)) for each in pins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(anonymous_bytes() - before)
""")


def growth_bytes(setting: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, setting], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_of_long_buffers_goes_back_to_the_system() -> None:
    assert growth_bytes("set") < 4 * 2**20
