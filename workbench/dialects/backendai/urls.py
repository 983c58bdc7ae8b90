"""The addresses of the contract: exact, without a slash at the end, for both generations."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from workbench.dialects.backendai import events, files, sessions
from workbench.dialects.backendai.views import NowhereView, VersionView


def _generation(noun: str) -> list[URLPattern]:
    one = f"{noun}/<str:name>"
    return [
        # "_" is nobody's name, and "create" may not be one: before the sessions themselves.
        path(f"{noun}/create", sessions.SessionsView.as_view()),
        path(f"{noun}/_/create", sessions.SessionsView.as_view()),
        path(f"{noun}/_/match", sessions.MatchView.as_view()),
        path(one, sessions.SessionView.as_view()),
        path(f"{one}/interrupt", sessions.InterruptView.as_view()),
        path(f"{one}/complete", sessions.CompleteView.as_view()),
        path(f"{one}/logs", sessions.LogsView.as_view()),
        path(f"{one}/rename", sessions.RenameView.as_view()),
        path(f"{one}/upload", files.UploadView.as_view()),
        path(f"{one}/files", files.FilesView.as_view()),
        path(f"{one}/download", files.DownloadView.as_view()),
        path(f"{one}/download_single", files.DownloadSingleView.as_view()),
        path(f"events/{noun}", events.EventsView.as_view()),
        re_path(rf"^{noun}/", NowhereView.as_view()),
    ]


_operations = [*_generation("session"), *_generation("kernel")]
create_session = sessions.SessionsView.as_view()
urlpatterns: list[URLPattern | URLResolver] = [
    *_operations,
    # At the root, "session" is shared with Azure: workbench/urls.py.
    path("kernel", create_session),
    # Whatever else a client of ours asks for there; the sockets are not Django's.
    re_path(r"^(?:events|manager|stream)/", NowhereView.as_view()),
    path("backendai", VersionView.as_view()),
    path(
        "backendai/",
        include(
            [
                path("", VersionView.as_view()),
                path("session", create_session),
                path("kernel", create_session),
                *_operations,
                re_path("", NowhereView.as_view()),
            ]
        ),
    ),
]
