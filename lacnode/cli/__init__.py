"""Besu's command line: options, environment, `config.toml`, sub-commands.

The package parses and hands over. It holds no logic of the node. `lacnode --help` must not load the node: heavy
modules are imported by name when they are needed.
"""
