"""GraphQL over HTTP (EIP-1767, in Besu 25.5.0's form): queries about the chain, and one mutation that sends a transaction.

The readers of JSON-RPC (`rpc.readers`) answer queries too, within the same bounds. Must not read any part of the
chain that a query does not ask for.
"""
