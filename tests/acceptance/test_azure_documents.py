"""The Azure contract's sample documents: their curl lines, verbatim, against the whole server.

azure-documents.sh holds the lines, so that they are always run. Where the documents are at hand,
WORKBENCH_CONTRACTS_DIR names their folder, and the lines must be exactly theirs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.running import RunningServer

pytestmark = pytest.mark.acceptance

LINES = Path(__file__).with_name("azure-documents.sh")
DOCUMENTS = ("azure-sessions-2024-10-02.md", "azure-sessions-all-versions.md")
SAMPLE_ADDRESS = "http://localhost:6000"
SAMPLE_FILE = "/path/to/your/file/README.md"
SAMPLE_ID = "8963ad02-1d0b-43ef-9863-0cefd18d5fb4"
DEADLINE_SECONDS = 30.0  # for an asynchronous execution to end
CONTENT = b"# Read me\n"


class Like(str):
    """Equal to every text that the pattern matches as a whole."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self, other) is not None

    __hash__ = str.__hash__


class Milliseconds:
    """Equal to every whole number of milliseconds a sample may take, and not below ``least``."""

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def __eq__(self, other: object) -> bool:
        return type(other) is int and self.least <= other < self.least + 10_000

    __hash__ = None  # type: ignore[assignment]


GUID = Like(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
TIMESTAMP = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")
MARKDOWN = "text/markdown; charset=utf-8"


def execution(**changes: Any) -> dict[str, Any]:
    """An execution of the new generation that printed something, and has ended."""
    stdout, least = changes.pop("stdout", ""), changes.pop("least", 0)
    result = {
        "stdout": stdout,
        "stderr": "",
        "executionResult": "",
        "executionTimeInMilliseconds": Milliseconds(least),
    }
    raw = {
        "hresult": 0,
        "result": "",
        "error_name": "",
        "error_message": "",
        "error_stack_trace": "",
        "stdout": stdout,
        "stderr": "",
        "diagnosticInfo": {
            "executionRequestTimeInMilliSeconds": Milliseconds(),
            "executionProcessResponseTimeInMilliSeconds": 0,
            "executionDuration": Milliseconds(least),
            "identifier": "test-identifier",
        },
        "operationId": GUID,
    }
    body = {
        "id": GUID,
        "identifier": "test-identifier",
        "sessionId": "test-identifier",
        "executionType": "Synchronous",
        "status": "Succeeded",
        "result": result,
        "rawResult": raw,
    }
    return body | changes


def submitted() -> dict[str, Any]:
    """An asynchronous execution that has not ended."""
    body = execution(executionType="Asynchronous", status="Running")
    del body["result"]
    body["rawResult"]["result"] = None
    return body


def old_execution(stdout: str, least: int = 0) -> dict[str, Any]:
    """An execution of the first generation, its value under both names."""
    properties = {
        "$id": GUID,
        "status": "Success",
        "stdout": stdout,
        "stderr": "",
        "result": "",
        "executionResult": "",
        "executionTimeInMilliseconds": Milliseconds(least),
    }
    return {"properties": properties}


NEW_FILE = {
    "name": "README2.md",
    "sizeInBytes": len(CONTENT),
    "lastModifiedAt": TIMESTAMP,
    "contentType": MARKDOWN,
    "type": "File",
}
OLD_FILE = {"filename": "README.md", "size": len(CONTENT), "lastModifiedTime": TIMESTAMP}
CONTAINER_FILE = {
    "name": "README.md",
    "type": "file",
    "filename": "README.md",
    "size": len(CONTENT),
    "last_modified_time": TIMESTAMP,
    "mime_type": MARKDOWN,
}
# The answers that azure-documents.sh names; "bytes" is the file itself, "nothing" no body at all.
ANSWERS: dict[str, Any] = {
    "executed": execution(stdout="inline-synchronous\n"),
    "submitted": submitted(),
    "polled": execution(executionType="Asynchronous", stdout="Hello from async code\n", least=2000),
    "new-file": NEW_FILE,
    "new-files": {"value": [NEW_FILE]},
    "old-executed": old_execution("inline-synchronous\n"),
    "old-slept": old_execution("Done Sleeping\n", least=5000),
    "container-files": [CONTAINER_FILE],
    "old-files": {"$id": "1", "value": [{"$id": "2", "properties": {"$id": "3", **OLD_FILE}}]},
    "old-file": {"value": [{"$id": "", "properties": {"$id": "", **OLD_FILE}}]},
    "old-deleted": {"message": "file deleted successfully"},
}


@dataclass(frozen=True)
class Sample:
    """A command line of a document, and what it answers."""

    command: str
    status: int
    answer: str


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: bytes


def samples() -> dict[str, list[Sample]]:
    """The lines of azure-documents.sh by document, in order."""
    found: dict[str, list[Sample]] = {}
    for part in re.split(r"^## ", LINES.read_text(), flags=re.MULTILINE)[1:]:
        document, _, rest = part.partition("\n")
        entries = re.findall(r"^#: (\d+) (\S+)\n(.*?)(?=\n#: |\Z)", rest, re.MULTILINE | re.DOTALL)
        found[document] = [
            Sample(command.strip(), int(status), answer) for status, answer, command in entries
        ]
    return found


def commands_of(document: str) -> Iterator[str]:
    """The curl lines among the code of a Markdown document; quotes may span several lines."""
    lines = iter(document.splitlines())
    for line in lines:
        if line.startswith("curl "):
            while not _is_closed(line):
                line += "\n" + next(lines)
            yield line.strip()


def _is_closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


class Shell:
    """Runs command lines as the documents print them, but for addresses and names."""

    def __init__(self, server: RunningServer, directory: Path) -> None:
        self._address = server.azure_url
        self._directory = directory
        # The id that the last submit answered.
        self._id = SAMPLE_ID
        for name in ("README.md", "README2.md"):
            (directory / name).write_bytes(CONTENT)
        (directory / "downloads").mkdir()
        (directory / ".curlrc").write_text(
            f'silent\nno-verbose\nnoproxy = "*"\ndump-header = "{directory / "headers"}"\n'
        )

    def run(self, sample: Sample) -> Answer:
        """The answer, with what ``-O`` saved as its body; a poll is repeated until it has ended."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        answer = self._run_once(sample)
        while sample.answer == "polled" and b'"status":"Running"' in answer.body:
            assert time.monotonic() < deadline, "the execution has not ended"
            time.sleep(0.05)
            answer = self._run_once(sample)
        if sample.answer == "submitted":
            self._id = json.loads(answer.body)["id"]
        return answer

    def _run_once(self, sample: Sample) -> Answer:
        # The documents upload README.md and go on with README2.md, where it is a new version.
        name = "README2.md" if "path=/mnt/data" in sample.command else "README.md"
        command = (
            sample.command.replace(SAMPLE_ADDRESS, self._address)
            .replace(SAMPLE_FILE, str(self._directory / name))
            .replace(SAMPLE_ID, self._id)
        )
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._directory / "downloads",
            env={"PATH": os.environ["PATH"], "CURL_HOME": str(self._directory)},
            capture_output=True,
            timeout=DEADLINE_SECONDS,
            check=True,
        )
        head, *fields = (self._directory / "headers").read_text().strip().splitlines()
        headers = dict(field.split(": ", 1) for field in fields)
        return Answer(
            status=int(head.split()[1]),
            headers={key.lower(): value for key, value in headers.items()},
            body=self._saved() if " -O " in command else done.stdout,
        )

    def _saved(self) -> bytes:
        (file,) = (self._directory / "downloads").iterdir()
        content = file.read_bytes()
        file.unlink()
        return content


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that nobody has used yet."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_line_answers_as_documented(
    server: RunningServer, tmp_path: Path, document: str
) -> None:
    """Statuses, media types and golden bodies, line by line, in the order of the document."""
    shell = Shell(server, tmp_path)
    for sample in samples()[document]:
        answer = shell.run(sample)

        assert answer.status == sample.status, sample.command
        if sample.answer == "nothing":
            assert answer.body == b""
            assert "content-type" not in answer.headers
        elif sample.answer == "bytes":
            assert answer.body == CONTENT
            assert answer.headers["content-type"] == MARKDOWN
            assert answer.headers["content-length"] == str(len(CONTENT))
            assert answer.headers["accept-ranges"] == "bytes"
            assert "last-modified" in answer.headers
        else:
            assert json.loads(answer.body) == ANSWERS[sample.answer], sample.command
            assert answer.headers["content-type"] == "application/json"
        if sample.answer == "submitted":
            id_ = json.loads(answer.body)["id"]
            assert answer.headers["operation-id"] == id_
            assert answer.headers["operation-location"] == (
                f"{server.azure_url}/executions/{id_}"
                "?api-version=2024-10-02-preview&identifier=test-identifier"
            )
        if sample.answer == "old-deleted":
            assert answer.body == b'{"message": "file deleted successfully"}'


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_lines_are_those_of_the_documents(document: str) -> None:
    """What is run above is what the documents print."""
    folder = os.environ.get("WORKBENCH_CONTRACTS_DIR")
    if not folder:
        pytest.skip("WORKBENCH_CONTRACTS_DIR does not name the documents' folder")
    printed = list(commands_of((Path(folder) / document).read_text()))

    assert printed == [sample.command for sample in samples()[document]]
