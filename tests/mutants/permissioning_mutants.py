"""Faults in who may connect and who may send."""

from tests.mutants.mutant import Mutant

NODES = ("tests/unit/permissioning/test_nodes.py",)
ACCOUNTS = ("tests/unit/permissioning/test_accounts.py",)

PERMISSIONING = (
    Mutant(
        "connection-decision-inverted",
        "lacnode/permissioning/node_contract.py",
        "if decode_connection_answer(output):",
        "if not decode_connection_answer(output):",
        NODES,
    ),
    Mutant(
        "one-permitted-node-is-enough",
        "lacnode/permissioning/node_contract.py",
        """                return f"the contract does not permit {enode}"
        return None
""",
        """                return f"the contract does not permit {enode}"
            return None
        return None
""",
        NODES,
    ),
    Mutant(
        "validators-pass-the-local-list",
        "lacnode/permissioning/node_permissions.py",
        "return self._local_refusal(source, destination) or _exception(",
        "return _exception(",
        NODES,
    ),
    Mutant(
        "local-refusal-of-a-sender-is-forgotten",
        "lacnode/permissioning/account_permissions.py",
        "if self._contract is None or (local is not None and not local.allowed):",
        "if self._contract is None:",
        ACCOUNTS,
    ),
    Mutant(
        "a-local-list-judges-blocks",
        "lacnode/permissioning/account_permissions.py",
        "        return self._decide_by_contract(self._contract, transaction, sender, parent, NO_TIME_LIMIT)\n",
        "        return self._decide(transaction, sender, parent, NO_TIME_LIMIT)\n",
        ACCOUNTS,
    ),
)
