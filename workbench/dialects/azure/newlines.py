"""Code whose line breaks a shell has turned into a backslash and an n; pure."""

from __future__ import annotations

import ast
import warnings

# The rule is for one-line samples, and Python's parser is not made for hostile megabytes.
_MAX_CHARACTERS = 16 * 1024


def with_real_newlines(code: str) -> str:
    r"""The code as meant: the documented asynchronous sample sends ``import time\\ntime...``.

    In JSON that is a literal backslash-n, which no Python program has outside of a string, so
    as it stands it cannot run. Only code that is a syntax error, has no real line break and
    becomes valid by the replacement is changed: no program that could run ever is. IPython's
    own syntax (magics, ``!``, ``?``) counts as valid.
    """
    if "\\n" not in code or "\n" in code or len(code) > _MAX_CHARACTERS:
        return code
    if code.lstrip().startswith(("%", "!", "?")) or code.rstrip().endswith("?"):
        return code
    replaced = code.replace("\\n", "\n")
    return replaced if not _is_python(code) and _is_python(replaced) else code


def _is_python(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(code, "<code>", "exec", flags=flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return False
    return True
