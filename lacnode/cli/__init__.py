"""Besu's command line: options, environment, `config.toml`, sub-commands.

Parses and hands over; holds no logic of the node. `lacnode --help` must not load the node: what is heavy is imported by
name when it is needed.
"""
