"""Tests of what a cluster does not survive: each file has a process, and clusters, of its own.

They ask the web processes and PostgreSQL, as somebody elsewhere would: this process has no part in
the cluster.
"""
