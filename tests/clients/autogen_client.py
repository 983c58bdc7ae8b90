"""Drive AutoGen's executor against a server; runs in its environment, not in the project's.

usage: python autogen_client.py ENDPOINT PREFIX    (PREFIX begins the session's identifier)
Prints what it returned, as one JSON object.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.azure import ACADynamicSessionsCodeExecutor
from azure.core.credentials import AccessToken


class AnyCredential:
    """A token for everybody."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("any token", 9_999_999_999)


async def drive(endpoint: str, session_id: str, directory: Path) -> dict[str, object]:
    executor = ACADynamicSessionsCodeExecutor(
        pool_management_endpoint=endpoint,
        credential=AnyCredential(),
        work_dir=directory,
        session_id=session_id,
    )
    token = CancellationToken()

    async def run(code: str) -> dict[str, object]:
        block = CodeBlock(code=code, language="python")
        result = await executor.execute_code_blocks([block], token)
        return {"exit_code": result.exit_code, "output": result.output}

    results: dict[str, object] = {
        "ran": await run("print('hello')\n6*7"),
        "failed": await run("1/0"),
        "packages": sorted(await executor.get_available_packages(token)),
    }
    (directory / "in.txt").write_text("data!")
    await executor.upload_files(["in.txt"], token)
    results["read"] = await run("open('in.txt').read()")
    await run("open('out.txt', 'w').write('made')")
    results["listed"] = await executor.get_file_list(token)
    (directory / "in.txt").unlink()
    await executor.download_files(["in.txt", "out.txt"], token)
    results["downloaded"] = [(directory / name).read_text() for name in ("in.txt", "out.txt")]
    return results


if __name__ == "__main__":
    endpoint, prefix = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(drive(endpoint, f"{prefix}-autogen", Path(directory)))))
