"""GraphQL over HTTP (EIP-1767, as Besu 25.5.0 has it): questions about the chain, and one way to send a transaction.

Questions are answered where JSON-RPC's calls that only read are, within the same bounds (`rpc.readers`). Must not read what
a question does not ask for.
"""
