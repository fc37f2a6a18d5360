"""Deploy a private contract between two members of `lacnode devnet --privacy`: the third sees the marker and no more.

python examples/private_deployment.py [DATA_PATH]        (the devnet's, devnet-data by default)
"""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import rlp
from eth_keys import keys
from web3 import HTTPProvider, Web3

devnet = json.loads((Path(sys.argv[1] if len(sys.argv) > 1 else "devnet-data") / "devnet.json").read_text())
one, two, three = [node for node in devnet["nodes"] if node["privacy_key"]][:3]
members = [Web3(HTTPProvider(node["rpc_url"])) for node in (one, two, three)]
token = json.loads((Path(__file__).parent / "contracts" / "Token.json").read_text())
account = members[0].eth.account.from_key(devnet["accounts"][1]["private_key"])


def ask(member: Web3, method: str, *params: object) -> Any:
    answer = member.provider.make_request(method, list(params))
    if "error" in answer:
        raise SystemExit(f"{method}: {answer['error']['message']}")
    return answer["result"]


def private_receipt(member: Web3, patience: float) -> dict[str, str] | None:
    """What a member did for the marker, within so many seconds: private states follow the chain in their own time."""
    until = time.monotonic() + patience
    while not (receipt := ask(member, "priv_getTransactionReceipt", marker)) and time.monotonic() < until:
        pass
    return receipt


def private_deployment(code: bytes, sender: str, receivers: list[str], nonce: int) -> bytes:
    chain_id = members[0].eth.chain_id
    between = [base64.b64decode(sender), [base64.b64decode(key) for key in receivers], b"restricted"]
    fields = [nonce, 0, 3_000_000, b"", 0, code]
    digest = Web3.keccak(rlp.encode([*fields, chain_id, b"", b"", *between]))
    signature = keys.PrivateKey(account.key).sign_msg_hash(digest)
    return rlp.encode([*fields, 35 + 2 * chain_id + signature.v, signature.r, signature.s, *between])


code = bytes.fromhex(token["bytecode"][2:]) + (1000).to_bytes(32)
count = int(
    ask(members[0], "priv_getEeaTransactionCount", account.address, one["privacy_key"], [two["privacy_key"]]), 16
)
raw = private_deployment(code, one["privacy_key"], [two["privacy_key"]], count)
marker = ask(members[0], "eea_sendRawTransaction", "0x" + raw.hex())
print(f"marker {marker}: everybody sees it, for instance member 3, whose transaction goes to")
mined = [member.eth.wait_for_transaction_receipt(marker) for member in members][2]
print(
    f"  {mined['to']} with {len(members[2].eth.get_transaction(marker)['input'])} bytes of data: the payload's digest"
)
for name, member, patience in zip(("member 1", "member 2", "member 3"), members, (60, 60, 0), strict=True):
    receipt = private_receipt(member, patience)
    print(f"  {name}: contract at {receipt['contractAddress']}" if receipt else f"  {name}: nothing")
