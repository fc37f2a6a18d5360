"""The parameters, the headers and the results of `eth_simulateV1`. Must not execute anything."""
