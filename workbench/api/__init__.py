"""The native API, below ``/api/v1/``; docs/api.md describes it."""
