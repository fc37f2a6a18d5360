"""Tessera's protocol between managers, in its orion mode: pushes, party info and the proof of a key.

This package is a border. Payloads and groups come in and go out in lacnode's form. No other package knows Tessera's forms.
It follows Tessera 21.1. It must not open a connection. It must not accept enhanced privacy (affected contracts, execution
hashes).
"""
