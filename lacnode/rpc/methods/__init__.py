"""The JSON-RPC methods. Each API group has modules of its own. `method_list` has the methods of all modules."""
