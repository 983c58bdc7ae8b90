"""Backend.AI's sessions: query and batch runs, files, events; docs/contracts.md has the table.

Served at the root, where the documents print it, and below ``/backendai/`` for clients whose
endpoint may have a path. ``/session`` (API v5 and later) and ``/kernel`` (v4) are the same.
"""

ORIGIN = "backendai"
