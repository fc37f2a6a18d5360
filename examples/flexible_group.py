"""A group whose members change: on `lacnode devnet --privacy --flexible-groups` two members share a contract, a third is
added and has what was done before, one is removed and sees nothing new.

python -m examples.flexible_group [DATA_PATH]        (the devnet's, devnet-data by default)
"""

import base64
import json
import sys
from pathlib import Path

from eth_abi import encode
from web3 import Web3

from examples.private_client import Member, load, new_group_id

PROXY = "0x000000000000000000000000000000000000007c"
"""Where every flexible group has the contract that lists its members."""


def method(text: str, *values: object) -> bytes:
    types = text[text.index("(") + 1 : -1]
    return Web3.keccak(text=text)[:4] + encode(types.split(",") if types else [], values)


def keys_of(*members: Member) -> list[bytes]:
    return [base64.b64decode(member.key) for member in members]


(one, two, three), accounts = load(Path(sys.argv[1] if len(sys.argv) > 1 else "devnet-data"))
owner, holder, group = accounts[0], accounts[1], new_group_id()
token = json.loads((Path(__file__).parent / "contracts" / "Token.json").read_text("utf-8"))
balance = method("balanceOf(address)", holder.address)


def done(member: Member, marker: str) -> str:
    status = member.receipt(marker)["status"]
    assert status == "0x1", f"{marker} ended with status {status}"
    return marker


def show(when: str, contract: str) -> None:
    seen = {member.name: member.call(group, contract, balance) for member in (one, two, three)}
    told = ", ".join(f"{name} sees {int.from_bytes(found) if found else 'nothing'}" for name, found in seen.items())
    print(f"{when}: {told}")


done(one, one.send(owner, group, method("addParticipants(bytes[])", keys_of(one, two)), PROXY))
print(f"group {group}")
deployment = one.send(holder, group, bytes.fromhex(token["bytecode"][2:]) + (1000).to_bytes(32))
contract = two.receipt(done(one, deployment))["contractAddress"]
show("deployed", contract)

done(one, one.send(owner, group, method("lock()"), PROXY))
done(three, done(one, one.send(owner, group, method("addParticipants(bytes[])", keys_of(three)), PROXY)))
assert three.receipt(deployment) == one.receipt(deployment)
show(f"{three.name} added", contract)

done(two, done(one, one.send(owner, group, method("removeParticipant(bytes)", *keys_of(two)), PROXY)))
done(three, done(one, one.send(holder, group, method("transfer(address,uint256)", owner.address, 400), contract)))
show(f"{two.name} removed, 400 spent", contract)
print(f"deployment {deployment}")
