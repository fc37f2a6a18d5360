"""`/liveness` and `/readiness`, for load balancers and orchestrators (Besu's `HealthService` and `ReadinessCheck`)."""

import json
import re
from urllib.parse import parse_qsl

from lacnode.evm.engine import PYTHON
from lacnode.privacy.state.group_statuses import PrivacyHealth
from lacnode.rpc.services import RpcServices

LIVENESS, READINESS = "/liveness", "/readiness"
MIN_PEERS, MAX_BLOCKS_BEHIND = 1, 2
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def health_response(services: RpcServices, path: str, query: str, standing: PrivacyHealth | None) -> tuple[int, bytes]:
    """Return HTTP's status (200 or 503) and body for `/liveness` or `/readiness`. `query` is the text after `?`. Must
    be called on the event loop, where peers are counted.

    The body is Besu's JSON with three more members: the name of the EVM for `/readiness` if it is not py-evm alone, the
    conflicts of this node's role if there are some, and the state of the privacy groups (`standing`, None if privacy is
    off). None of these makes the node less ready, because none of them stops the chain. Liveness is always 200.
    """
    up = path == LIVENESS or _is_ready(services, query)
    # Besu's body has a space on both sides of the colon.
    members = [f'  "status" : "{"UP" if up else "DOWN"}"']
    if path == READINESS and services.node.engine_name != PYTHON:
        members.append(f'  "evm" : {json.dumps(services.node.engine_name)}')
    conflicts = services.status.role().conflicts
    if conflicts:
        members.append(f'  "conflicts" : {json.dumps(conflicts)}')
    if standing is not None:
        groups = {condition.value: number for condition, number in standing.groups.items()}
        privacy: dict[str, object] = {"groups": groups, "missingPayloads": standing.missing}
        if standing.alarms:
            privacy["alarms"] = standing.alarms
        members.append(f'  "privacy" : {json.dumps(privacy)}')
    return 200 if up else 503, ("{\n" + ",\n".join(members) + "\n}").encode()


def _is_ready(services: RpcServices, query: str) -> bool:
    """Return True if there are enough peers (if P2P is on) and a sync under way is not too far behind. Use it on the
    event loop.

    `query` is the text after `?`. It may name `minPeers` and `maxBlocksBehind`, else they are `MIN_PEERS` and
    `MAX_BLOCKS_BEHIND`. A value that is no number means that the node is not ready.
    """
    # The first of several values with one name counts. `dict` keeps the last one, so the order is reversed.
    asked = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    if services.network is not None:
        min_peers = _integer(asked.get("minPeers"), MIN_PEERS)
        if min_peers is None or len(services.network.peers) < min_peers:
            return False
    status = services.status.synchronisation()
    if status is None:
        return True
    max_behind = _integer(asked.get("maxBlocksBehind"), MAX_BLOCKS_BEHIND)
    return max_behind is not None and status.highest_block - status.current_block <= max_behind


def _integer(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if _INTEGER.fullmatch(text) else None
