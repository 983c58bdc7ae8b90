"""The admin: what runs, whose, since when, and why did it die.

The kernel host is the only writer of most rows, and the audit is for ever, so nothing here can be
added or changed, but for the quotas of single accounts, which are the operator's. What an
operator can do to a session goes through the verbs, as for everybody; the history of those that
have ended can be deleted. Seeing needs the permission *view*, acting *change* of sessions, deleting
*delete* (superusers have all), although no form ever changes a row: they are Django's own words.
"""

from django.contrib import admin

# Each registers what it is about.
from sessions.admin import audit as audit
from sessions.admin import executions as executions
from sessions.admin import hosts as hosts
from sessions.admin import notebooks as notebooks
from sessions.admin import quotas as quotas
from sessions.admin import sessions as sessions

admin.site.site_header = "Workbench"
admin.site.site_title = "Workbench"
admin.site.index_title = "Sessions, executions, events"
admin.site.site_url = "/workbench/"
