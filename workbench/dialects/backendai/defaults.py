"""What ``"*"`` means for each step of a batch run: shell scripts, by language; pure.

They run inside the session's sandbox, in its home directory. Where a script finds nothing to do
its work on, it says so and ends with 127, as a shell does for a missing program.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "*"
_MAKE = "if [ -f Makefile ]; then exec make; fi\n"
# A shell of its own, so that an interrupt reaches what the command started; in the home
# directory, under the name that Backend.AI has for it.
_IN_HOME = 'cd "$HOME" && exec /bin/sh -c "$1"'


@dataclass(frozen=True)
class Defaults:
    """The scripts of one language. None: the step is skipped."""

    build: str | None = None
    exec: str | None = None
    clean: str | None = None


def command_for(step: str, line: str | None, language: str) -> list[str] | None:
    """The program and arguments of a step ("clean", "build" or "exec"); None: skip it.

    ``line`` is a command line, "*" for the default, and None or blank for nothing.
    """
    if line is None or not line.strip():
        return None
    script = default_script(step, language) if line.strip() == DEFAULT else line
    return None if script is None else ["/bin/sh", "-c", _IN_HOME, "sh", script]


def default_script(step: str, language: str) -> str | None:
    """The script for ``"*"``; None if there is nothing to do."""
    defaults = _LANGUAGES.get(language, Defaults())
    match step:
        case "clean":
            return defaults.clean
        case "build":
            return _MAKE + defaults.build if defaults.build else _MAKE
    return defaults.exec or _missing(language, "a default way to run programs")


def _missing(language: str, what: str) -> str:
    return f"echo '{language}-kernel: cannot find {what}.' >&2; exit 127"


def _needs(language: str, file: str, then: str) -> str:
    """A script that is run only if a file is there."""
    return f"if [ ! -f {file} ]; then {_missing(language, file)}; fi\n{then}"


def _main(language: str, file: str, interpreter: str) -> Defaults:
    """An interpreted language: nothing to build, and one file to start from."""
    return Defaults(exec=_needs(language, file, f"exec {interpreter} {file}"))


def _compiled(language: str, compiler: str, suffix: str) -> Defaults:
    """C and C++: every source to an object beside it, all objects to ``./main``.

    An object's name comes from the whole path of its source: two sources of one name in two
    directories do not overwrite each other's.
    """
    find = f"find . -type f -name '*{suffix}' -exec /bin/sh -c"
    build = (
        f'{find} \'for f; do {compiler} -Wall -c "$f" -o "${{f%{suffix}}}.o" || exit 1; done\''
        " sh {} + || exit 1\n"
        f'{find} \'for f; do set -- "$@" "${{f%{suffix}}}.o"; shift; done;'
        f' exec {compiler} "$@" -Wall -o ./main -pthread -lm -lrt -ldl\' sh {{}} +'
    )
    return Defaults(
        clean=(
            "if [ -f Makefile ]; then exec make clean; fi\n"
            f"echo '{language}-kernel: there is no Makefile; nothing to clean.' >&2"
        ),
        build=_needs(language, f"main{suffix}", build),
        exec=_first_of(language, "./main", "./a.out"),
    )


def _first_of(language: str, *programs: str) -> str:
    """Run the first of several programs that exists."""
    tries = [
        f"if [ -f {program} ] && [ -x {program} ]; then exec {program}; fi\n"
        for program in programs
    ]
    return "".join(tries) + _missing(language, f"an executable ({' or '.join(programs)})")


def _sources(language: str, suffix: str, compile_all: str) -> str:
    """Hand all sources of a language to one compiler."""
    return (
        f"if [ -z \"$(find . -type f -name '*{suffix}')\" ]; then\n"
        f"  {_missing(language, f'any *{suffix} file')}\nfi\n"
        f"exec find . -type f -name '*{suffix}' -exec {compile_all} {{}} +"
    )


_PYTHON = Defaults(
    build=(
        "if [ -f setup.py ]; then exec python -m pip install --user -e .; fi\n"
        "echo 'python-kernel: there is neither a Makefile nor setup.py; nothing to build.' >&2"
    ),
    exec=_needs("python", "main.py", "exec python main.py"),
)
_RUST = Defaults(
    build=(
        "if [ -f Cargo.toml ]; then exec cargo build; fi\n"
        "if [ -f main.rs ]; then exec rustc -o main main.rs; fi\n"
        + _missing("rust", "Cargo.toml or main.rs")
    ),
    exec=(
        "for f in target/debug/* target/release/* ./main; do\n"
        '  if [ -f "$f" ] && [ -x "$f" ]; then exec "$f"; fi\ndone\n'
        + _missing("rust", "an executable")
    ),
)
_JAVA = Defaults(
    build=_sources("java", ".java", "javac -d ."),
    exec=(
        "if [ -f main/Main.class ]; then exec java main.Main; fi\n"
        "if [ -f Main.class ]; then exec java Main; fi\n"
        + _missing("java", "Main.class or main/Main.class")
    ),
)
_LANGUAGES: dict[str, Defaults] = {
    "bash": _main("bash", "main.sh", "bash"),
    "c": _compiled("c", "gcc", ".c"),
    "cpp": _compiled("cpp", "g++", ".cpp"),
    "golang": Defaults(
        # Files named one by one must be in one directory; what is below belongs to a module.
        build=(
            "if [ -f go.mod ]; then exec go build -o main .; fi\n"
            + _needs("golang", "main.go", "exec go build -o main ./*.go")
        ),
        exec=_first_of("golang", "./main"),
    ),
    "haskell": Defaults(
        build=_sources("haskell", ".hs", "ghc --make main"),
        exec=_first_of("haskell", "./main"),
    ),
    "java": _JAVA,
    "julia": _main("julia", "main.jl", "julia"),
    "lua": _main("lua", "main.lua", "lua"),
    "nodejs": _main("nodejs", "main.js", "node"),
    "octave": _main("octave", "main.m", "octave-cli"),
    "php": _main("php", "main.php", "php"),
    "python": _PYTHON,
    "r": _main("r", "main.R", "Rscript"),
    "ruby": _main("ruby", "main.rb", "ruby"),
    "rust": _RUST,
    "scheme": Defaults(exec="exit 0"),
}
