"""Reading a file of an operator whole, up to a bound. A wrong path may name a file of any size."""

import errno
from pathlib import Path


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the whole content of the file. Raises OSError, with a text in `strerror`, if it cannot be read or is
    longer than `max_bytes`."""
    with path.open("rb") as opened:
        # One byte more than the bound: a file that is too large is found without reading it whole.
        data = opened.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"at most {max_bytes} bytes were expected")
    return data
