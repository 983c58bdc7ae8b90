"""Azure Container Apps dynamic sessions, both generations; docs/contracts.md has the table.

Two faces: the *container* at the root, as the sample documents print it, and the *pool* under
/subscriptions/…/sessionPools/…, as the cloud serves it.
"""

ORIGIN = "azure"
