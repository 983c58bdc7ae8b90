"""Drive LangChain's tools against a server; runs in their environment, not in the project's.

usage: python langchain_client.py ENDPOINT PREFIX    (PREFIX begins every session's identifier)
Prints what they returned, as one JSON object.
"""

import io
import json
import sys

from langchain_azure_dynamic_sessions import SessionsBashTool, SessionsPythonREPLTool

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.show()"


def drive_python(endpoint: str, session_id: str) -> dict[str, object]:
    tool = SessionsPythonREPLTool(
        pool_management_endpoint=endpoint,
        session_id=session_id,
        access_token_provider=lambda: "any token",
    )
    results: dict[str, object] = {
        "invoked": json.loads(tool.invoke("6 * 7")),
        "printed": tool.execute("print('hi')\n'abc'"),
        "failed": tool.execute("1/0"),
        "plotted": tool.execute(PLOT),
        "kept": [tool.execute("kept = 41"), tool.execute("kept + 1")],
    }
    uploads = [
        tool.upload_file(data=io.BytesIO(b"hello world!!!!!"), remote_file_path="test1.txt"),
        tool.upload_file(data=io.BytesIO(b"x"), remote_file_path="a b é.txt"),
    ]
    results["uploaded"] = [[file.filename, file.size_in_bytes] for file in uploads]
    results["listed"] = [[file.filename, file.size_in_bytes] for file in tool.list_files()]
    names = ("test1.txt", "a b é.txt")
    results["downloaded"] = [
        tool.download_file(remote_file_path=name).read().decode() for name in names
    ]
    results["read"] = tool.execute("open('/mnt/data/a b é.txt').read()")
    tool._delete_session_sync(session_id)
    results["listed_afterwards"] = [file.filename for file in tool.list_files()]
    results["kept_afterwards"] = tool.execute("'kept' in globals()")
    return results


def drive_bash(endpoint: str, session_id: str) -> dict[str, object]:
    tool = SessionsBashTool(
        pool_management_endpoint=endpoint,
        session_id=session_id,
        access_token_provider=lambda: "any token",
    )
    results: dict[str, object] = {
        "invoked": json.loads(tool.invoke("echo hello; exit 3")),
        "complained": tool.execute("echo oh no >&2"),
    }
    upload = tool.upload_file(data=io.BytesIO(b"abc"), remote_file_path="f.txt")
    results["uploaded"] = [upload.filename, upload.size_in_bytes]
    results["listed"] = [[file.filename, file.size_in_bytes] for file in tool.list_files()]
    results["downloaded"] = tool.download_file(remote_file_path="f.txt").read().decode()
    results["read"] = tool.execute("cat /mnt/data/f.txt")
    tool._delete_session_sync(session_id)
    results["listed_afterwards"] = [file.filename for file in tool.list_files()]
    return results


if __name__ == "__main__":
    endpoint, prefix = sys.argv[1:]
    results = {
        "python": drive_python(endpoint, f"{prefix}-python"),
        "bash": drive_bash(endpoint, f"{prefix}-bash"),
    }
    print(json.dumps(results))
