"""Tessera's peer protocol, as its orion mode speaks it: what it pushes, how it says where it is, how it proves a key.

A border: payloads and groups come in and go out as ours, and nothing of Tessera's forms is known outside. Follows Tessera
21.1. Must not open a connection, nor take enhanced privacy (affected contracts, execution hashes) for anything it knows.
"""
