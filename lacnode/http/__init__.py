"""HTTP/1.1 for every port of this program: connections, requests, responses, all bounded.

Must not know the meaning of a request.
"""
