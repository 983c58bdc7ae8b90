"""A process that forks kernels: runs under the kernels' Python, inside bubblewrap.

Nothing here is imported by the server, and nothing of the server is imported here; besides the
standard library there is only what the kernels' environment brings. The server's side, and what
the two say to each other, is sessions/kernels/zygotes.py.
"""
