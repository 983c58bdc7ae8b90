"""The addresses of the contract, for either face.

An optional slash ends those two that older clients call with one. A file's name may hold
slashes, so all that follows ``files/`` is one part here; paths.py reads it.
"""

from django.urls import URLPattern, URLResolver, include, path, re_path

from workbench.dialects.azure import executions, files, sessions

_operations: list[URLPattern] = [
    re_path(r"^code/execute/?\Z", executions.OldExecuteView.as_view()),
    re_path(r"^executions/?\Z", executions.ExecutionsView.as_view()),
    re_path(r"^executions/(?P<execution_id>(?s:.+?))/?\Z", executions.ExecutionView.as_view()),
    path("files", files.FilesView.as_view()),
    path("upload", files.ContainerUploadView.as_view()),
    re_path(r"^files/(?P<rest>(?s:.+))\Z", files.FileView.as_view()),
    path("session", sessions.SessionView.as_view()),
    path("listSessions", sessions.SessionsView.as_view()),
    path("metadata", sessions.MetadataView.as_view()),
    path(".management/getSession", sessions.GetSessionView.as_view()),
    path(".management/stopSession", sessions.StopSessionView.as_view()),
    path(".management/listSessions", sessions.ListManagedSessionsView.as_view()),
    path("health", sessions.HealthView.as_view()),
    path("health/startup", sessions.HealthView.as_view()),
]
urlpatterns: list[URLPattern | URLResolver] = [
    *_operations,
    # An older spelling of ?identifier=, still in circulation.
    path("identifier/<str:identifier>/", include(_operations)),
]
