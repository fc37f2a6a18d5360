"""Look-ups of host names in a bounded number of threads.

A look-up whose name server is silent holds its thread for up to 30 s, also after the call that needed it has ended. So names
of strangers must not use the threads of other work, nor those for the operator's names. This module must not decide which
addresses may be called.
"""

import socket
from contextlib import suppress

import trio

OPERATOR_LOOK_UPS, STRANGER_LOOK_UPS = 16, 8
"""The threads for look-ups of names that the operator configured, and of all other names."""


class NameLookUps:
    """Looks names up. A look-up that finds no free thread waits for one."""

    def __init__(self) -> None:
        self._of_operator = trio.CapacityLimiter(OPERATOR_LOOK_UPS)
        self._of_strangers = trio.CapacityLimiter(STRANGER_LOOK_UPS)

    async def find_addresses(self, host: str, port: int | None, is_operators: bool) -> list[str]:
        """Return the addresses of `host` for TCP, each one once. An address as `host` needs no look-up. There is no time
        limit here: the caller cancels. OSError if there is none. `is_operators` says whether the operator configured
        the name."""
        limiter = self._of_operator if is_operators else self._of_strangers
        try:
            with suppress(socket.gaierror):
                # An address, and no name.
                return _resolve(host, port, socket.AI_NUMERICHOST)
            # The limiter counts the thread until the look-up has ended, also if the call has given up.
            return await trio.to_thread.run_sync(_resolve, host, port, limiter=limiter, abandon_on_cancel=True)
        except UnicodeError as error:
            raise OSError(str(error)) from None


def _resolve(host: str, port: int | None, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    # A name may give one address several times.
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
