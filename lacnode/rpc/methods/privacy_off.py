"""EEA, PRIV and PRIVX while privacy is off. Every method answers "Privacy is not enabled", as in Besu."""

from lacnode.rpc.errors import privacy_disabled
from lacnode.rpc.method_registry import KNOWN_METHODS, Method, Params
from lacnode.rpc.services import RpcServices


def _off(services: RpcServices, params: Params) -> object:
    raise privacy_disabled()


def _groups(name: str) -> tuple[str, ...]:
    # Besu has this method in both groups, and the others in the group of their prefix. `privx_` belongs to PRIV.
    if name == "priv_getEeaTransactionCount":
        return ("EEA", "PRIV")
    return ("EEA",) if name.startswith("eea_") else ("PRIV",)


PRIVACY_OFF_METHODS = tuple(
    Method(name, group, _off)
    for name in sorted(KNOWN_METHODS)
    if name.startswith(("eea_", "priv_", "privx_"))
    for group in _groups(name)
)
