"""The addresses of the sockets; workbench/asgi.py serves them."""

from django.urls import path, re_path

from sessions.consumers import NowhereConsumer, SessionConsumer, SessionListConsumer
from sessions.notebook_consumer import NotebookConsumer

websocket_urlpatterns = [
    path("ws/sessions/", SessionListConsumer.as_asgi()),
    # An identifier may contain slashes: Azure's do.
    path("ws/sessions/<path:identifier>/", SessionConsumer.as_asgi()),
    path("ws/notebooks/<path:identifier>/", NotebookConsumer.as_asgi()),
    re_path("", NowhereConsumer.as_asgi()),
]
