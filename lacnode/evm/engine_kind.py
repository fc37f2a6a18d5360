"""The engine that executes: a word of the option `--evm`. Imports nothing heavy."""

from enum import Enum

from lacnode.evm.native_library import NativeLibraryError, native_library


class EngineKind(Enum):
    """`AUTO` is the native engine where its library can be used, otherwise py-evm. `BOTH` executes on both the blocks
    and calls that the native engine can execute, and py-evm's outcome counts."""

    AUTO = "auto"
    PYTHON = "python"
    NATIVE = "native"
    BOTH = "both"

    @property
    def resolved(self) -> "EngineKind":
        """The kind that runs in this process, never `AUTO`. NativeLibraryError for `NATIVE` and `BOTH` if no library
        can be used."""
        if self is EngineKind.PYTHON:
            return self
        if self is EngineKind.AUTO:
            return EngineKind.NATIVE if why_no_library() is None else EngineKind.PYTHON
        native_library()
        return self


def why_no_library() -> str | None:
    """Return why the native library cannot be used here, as a sentence. None if it can."""
    try:
        native_library()
    except NativeLibraryError as error:
        return str(error)
    return None
