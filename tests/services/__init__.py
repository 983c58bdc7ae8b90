"""Servers of other people that tests start for themselves."""
