"""Small files that other programs read while the node writes them: ports, process ids, the manifest of a network.

Such files are replaced and not written over. A reader finds the old text or the new text, and never a part. Do not use this
for files that must survive a power cut: nothing is flushed.
"""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step: a reader finds the old or the new text. Nothing is flushed. Raises
    OSError.

    A device, a link, and a file in a directory without write permission are written over in place, not in one step.
    """
    # Replacing would put a plain file in the place of a device such as /dev/stdout, or of the operator's link.
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, "utf-8")
        return
    # The process id is in the name: two processes that write the same file must not share the temporary one.
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, "utf-8")
    except PermissionError:
        # A file may be writable in a directory that is not, for example a mounted file of a container.
        path.write_text(text, "utf-8")
        return
    beside.replace(path)
