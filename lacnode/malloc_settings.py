"""Settings of the C library's malloc, so that freed memory goes back to the system.

glibc keeps it by default: each thread has an arena of its own, and once a long buffer was freed, buffers of that
length come from arenas too, where one small object in use holds all memory below it. A node that had been sent long
messages then stayed several hundred megabytes larger.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt` (glibc's malloc.h)."""

MAPPED_BYTES = 128 * 1024
"""Bytes from which a buffer has pages of its own, which go back to the system when it is freed. It is glibc's first
value. To set it keeps glibc from raising it."""

ARENAS = 2
"""Arenas: one for the event loop and one for the threads. They hold Python's lock in turns, and so hardly wait for an
arena."""


def configure_malloc() -> None:
    """Set the limits of malloc (`mallopt`). Call it once, before there are threads. From then on a buffer of
    `MAPPED_BYTES` or more goes back to the system when it is freed, and so does free memory of this size at the end of
    an arena. It does nothing where the C library has no `mallopt`."""
    # musl has no such function.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, MAPPED_BYTES)
        mallopt(_ARENA_MAX, ARENAS)
