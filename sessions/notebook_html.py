"""A notebook as a web page to keep: nbconvert, in a process of its own.

What it converts is other people's: a text that a parser chokes on costs that process, not the
server. As a program (``python -m sessions.notebook_html``) it reads
``{"title", "notebook"}`` as JSON and writes the page.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from sessions.exceptions import Unavailable

TIMEOUT_SECONDS = 60.0
ROOT = Path(__file__).parent.parent
# What the process finds in its environment: nothing of ours.
_VARIABLES = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR")

# nbconvert's own page loads these from the internet in any case; here only what needs them does.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}
{%- if resources.workbench.require %}{{ super() }}{% endif -%}
{%- endblock -%}
{%- block jupyter_widgets -%}
{%- if resources.workbench.widgets %}{{ super() }}{% endif -%}
{%- endblock -%}
{%- block html_head_js_mathjax -%}
{%- if resources.workbench.math %}{{ super() }}{% endif -%}
{%- endblock -%}
{%- block html_head_js_mermaidjs -%}
{%- if resources.workbench.mermaid %}{{ super() }}{% endif -%}
{%- endblock -%}
"""


async def to_html(notebook: dict[str, Any], title: str) -> bytes:
    """The notebook, in the .ipynb format and valid, as a page that stands alone.

    It asks the internet only for what formulas, diagrams and widgets are drawn with, if it has
    any. Its outputs may hold scripts: it must not be opened as a page of ours. Raises
    Unavailable if it takes more than TIMEOUT_SECONDS, or cannot be made.
    """
    request = await asyncio.to_thread(json.dumps, {"title": title, "notebook": notebook})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sessions.notebook_html"),
        cwd=ROOT,
        env={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            page, _ = await process.communicate(request.encode())
    except TimeoutError:
        raise Unavailable("The page took too long to make. Export the .ipynb instead.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unavailable("The page cannot be made. Export the .ipynb instead.")
    return page


def page_of(notebook: dict[str, Any], title: str) -> str:
    """The page."""
    # Not for the server's process: they take a second to import.
    import nbconvert
    import nbformat
    from jinja2 import DictLoader

    new_exporter: Any = nbconvert.HTMLExporter  # without types of their own, both
    node_of: Any = nbformat.from_dict
    loader = DictLoader({"workbench.html.j2": TEMPLATE})
    exporter = new_exporter(extra_loaders=[loader], template_file="workbench.html.j2")
    # embed_images stays off: it would read files of this machine that a text names.
    resources = {"metadata": {"name": title}, "workbench": needs(notebook)}
    page, _ = exporter.from_notebook_node(node_of(notebook), resources)
    return str(page)


def needs(notebook: dict[str, Any]) -> dict[str, bool]:
    """Which of the scripts that nbconvert knows the notebook has a use for."""
    texts = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    bundles = [
        output["data"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    markup = [str(bundle.get(mime, "")) for bundle in bundles for mime in ("text/html",)]
    prose = texts + [str(bundle.get("text/markdown", "")) for bundle in bundles] + markup
    types = {mime for bundle in bundles for mime in bundle}
    return {
        "require": any("require" in text for text in markup),
        "widgets": "application/vnd.jupyter.widget-view+json" in types,
        "math": "text/latex" in types or any(_has_math(text) for text in prose),
        "mermaid": "text/vnd.mermaid" in types or any("```mermaid" in text for text in texts),
    }


def _has_math(text: str) -> bool:
    return text.count("$") > 1 or "\\(" in text or "\\[" in text or "\\begin{" in text


def main() -> None:
    """Read the request, write the page."""
    request = json.load(sys.stdin.buffer)
    page = page_of(request["notebook"], request["title"])
    sys.stdout.buffer.write(page.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
