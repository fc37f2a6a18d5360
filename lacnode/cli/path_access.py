"""`--print-paths-and-exit`: the paths that a start script must hand over to the user that the node will run as.

Besu's container starts as root, asks for these lines, changes the owner of each path, and only then becomes that
user.
"""

import grp
import os
import pwd
import stat
from pathlib import Path

from lacnode.cli.settings_reader import SettingsReader

DEFAULT_USER = "besu"


def inaccessible_path_lines(read: SettingsReader) -> list[str]:
    """Return one line for each of data path (to read and write) and genesis file (to read) that the user may not use,
    in Besu's words. `--print-paths-and-exit` names the user (`besu` if it names none). A path that is missing or cannot
    be looked at has a line too. A user that this machine does not know has the rights of any other user. Empty if both
    are usable. A genesis file that no option names is not looked at."""
    user = read.text_or_none("print-paths-and-exit") or DEFAULT_USER
    wanted = [(read.data_path, True)]
    genesis = read.path("genesis-file")
    if genesis is not None:
        wanted.append((genesis, False))
    return [line for path, written in wanted if (line := _line(path.absolute(), user, written))]


def _line(path: Path, user: str, written: bool) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return f"Error: Failed checking permissions for path: {path}. Reason: {error.strerror}"
    # The mode is read for the other user. `os.access` would answer for root, which may do everything.
    rights = stat.S_IMODE(found.st_mode) >> _shift(found, user)
    if rights & 4 and (rights & 2 or not written):
        return ""
    return f"PERMISSION_CHECK_PATH:{path}:{'READ_WRITE' if written else 'READ'}"


def _shift(found: os.stat_result, user: str) -> int:
    """Return the position of the rights of `user` in the mode: those of the owner, of the group, or of any other
    user."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return 0
    if account.pw_uid == found.st_uid:
        return 6
    members = {account.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)}
    return 3 if found.st_gid in members else 0
