"""Small files that others read while we write them: ports, process ids, the shape of a network.

Such files are replaced, never written over, so that a reader finds the old text or the new one and never a part. Not for
what must outlive a power cut: nothing is flushed.
"""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Have `path` hold `text` (UTF-8). OSError.

    A device or a link, and a file in a directory that we may not write, keep their place and are written over.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, "utf-8")
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, "utf-8")
    except PermissionError:
        path.write_text(text, "utf-8")
        return
    beside.replace(path)
