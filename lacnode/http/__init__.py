"""HTTP/1.1 for everything that listens: ports, connections, requests, responses, all bounded.

Must not know what is asked for.
"""
