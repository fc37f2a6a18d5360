"""Waits until the transaction managers of a devnet know each other. A private transaction that is sent earlier would fail
because a member is unknown.

It requests the network view of each manager, as another manager would. Must not add to that view.
"""

import http.client
import time
from collections.abc import Collection, Iterable, Mapping

from lacnode.devnet.manifest import DevnetError, DevnetNode
from lacnode.devnet.processes import log_tail
from lacnode.privacy.keys import from_base64
from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info, encode_orion_party_info
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH

EMPTY_PARTY_INFO = encode_orion_party_info(PartyInfo(None))
MAX_PARTY_INFO_REPLY_BYTES = 1024 * 1024
ANSWER_SECONDS, POLL_SECONDS = 5.0, 0.02


def wait_for_managers(nodes: Iterable[DevnetNode], seconds: float) -> None:
    """Return once the manager of each of `nodes` knows the public keys of all these managers. Nodes without a manager
    do not count. It blocks. DevnetError if that is not so after `seconds`. The last request may take `ANSWER_SECONDS`
    more."""
    members = {node: from_base64(node.privacy_key) for node in nodes if node.privacy_key is not None}
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
    """Return the names of the members that the manager of `node` does not know: all of them while it does not answer."""
    known = _known_keys(node.privacy_port)
    return [member.name for member, key in members.items() if key not in known]


def _known_keys(port: int) -> Collection[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        # An empty view: the manager learns no address from this request.
        connection.request("POST", PARTY_INFO_PATH, EMPTY_PARTY_INFO, {"Content-Type": "application/cbor"})
        return decode_orion_party_info(connection.getresponse().read(MAX_PARTY_INFO_REPLY_BYTES)).keys
    # The manager is still starting. Its node counts as one that knows no member, so the wait goes on.
    except (OSError, http.client.HTTPException, CborError):
        return ()
    finally:
        connection.close()
