"""The methods, one module a group; `method_list` has their union."""
