"""Until the transaction managers of a devnet have met: whoever sends at once must not be told that a member is unknown.

They are asked as one of them would ask, for their network view. Must not tell them anything.
"""

import http.client
import time
from collections.abc import Collection, Iterable, Mapping

from lacnode.devnet.manifest import DevnetError, DevnetNode
from lacnode.devnet.processes import log_tail
from lacnode.privacy.keys import from_text
from lacnode.privacy.manager.cbor import CborError
from lacnode.privacy.manager.network_view import NetworkView, decode_view, encode_view
from lacnode.privacy.manager.peer_paths import PARTY_INFO

NOTHING = encode_view(NetworkView(None))
MAX_VIEW = 1024 * 1024
ANSWER_SECONDS, POLL_SECONDS = 5.0, 0.02


def wait_for_managers(nodes: Iterable[DevnetNode], seconds: float) -> None:
    """Return once the manager of every node that has one knows where the others are; DevnetError after `seconds`."""
    members = {node: from_text(node.privacy_key) for node in nodes if node.privacy_key is not None}
    deadline = time.monotonic() + seconds
    for node in members:
        while strangers := _strangers(node, members):
            if time.monotonic() > deadline:
                names = ", ".join(strangers)
                raise DevnetError(
                    f"the transaction manager of {node.name} has not met {names} after {seconds:.0f} s; "
                    f"its log ends:\n{log_tail(node)}"
                )
            time.sleep(POLL_SECONDS)


def _strangers(node: DevnetNode, members: Mapping[DevnetNode, bytes]) -> list[str]:
    """The names of the members that the manager of `node` does not know: all of them while it does not answer."""
    known = _known_keys(node.privacy_port)
    return [member.name for member, key in members.items() if key not in known]


def _known_keys(port: int) -> Collection[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", PARTY_INFO, NOTHING, {"Content-Type": "application/cbor"})
        return decode_view(connection.getresponse().read(MAX_VIEW)).keys
    except (OSError, http.client.HTTPException, CborError):
        return ()
    finally:
        connection.close()
