"""The native library (`native/`, built from Rust), if there is one that fits this node.

It is optional: without it py-evm executes everything. Nothing but this module imports it.
"""

import importlib
from functools import lru_cache
from typing import Any

INTERFACE = 2
"""The number of the interface between this node and the library. A library with another number is not used."""


class NativeLibraryError(Exception):
    """There is no native library that can be used. The text says why."""


@lru_cache(maxsize=1)
def _loaded() -> Any:
    try:
        return importlib.import_module("lacnode_native")
    except ImportError as error:
        # Returned, not raised, so that the cache keeps a failed import too: Python would search for the module again
        # each time.
        return NativeLibraryError(f"the native library is not there: {error}")


def native_library() -> Any:
    """The module `lacnode_native`, loaded at the first call. NativeLibraryError if it is missing, broken, or has
    another `INTERFACE`."""
    library = _loaded()
    if isinstance(library, NativeLibraryError):
        raise library
    # A library of another interface would be called with wrong arguments, in the middle of a block.
    found = getattr(library, "INTERFACE", None)
    if found != INTERFACE:
        raise NativeLibraryError(f"the native library has interface {found}, and this node needs {INTERFACE}")
    return library


def native_version() -> str:
    """The version of the native library as text. NativeLibraryError if the library is missing, broken, or has another
    `INTERFACE` than this node needs."""
    return str(native_library().VERSION)
