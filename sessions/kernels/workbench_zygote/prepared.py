"""IPython's kernel, made before the fork as far as it can be: forks then share what it is made of.

To make the shell writes to much of the memory that a fork shares with the others. So the zygote
makes the application, the kernel and the shell, once, without sockets, threads, loops and files;
and each fork gives them those, its session's key, its directories and what identifies it.

Both halves together do what ``IPKernelApp.initialize`` does, in another order. Whether that is
still what it does is told by the digest of the functions concerned.
"""

from __future__ import annotations

import atexit
import hashlib
import inspect
import linecache
import os
import sys
import uuid
from pathlib import Path
from typing import Any

# Of ipykernel 7.4 with IPython 9.18. For another version: compare the functions of _mirrored with
# those of this one, then take the digest that why_not reports.
_DIGEST = "0362de7a10f74578"
# What a kernel finds in its environment before it is made decides what it becomes.
_DECISIVE = ("HOME", "IPYTHONDIR", "VIRTUAL_ENV", "XDG_CONFIG_HOME")
_CONFIGURATIONS = ("ipython_config", "ipython_kernel_config")
# Of the host's; the connection file is another for each kernel.
_NOWHERE = "/nowhere.json"
_ARGUMENTS = ["-f", _NOWHERE, "--HistoryManager.enabled=False"]


def why_not() -> str:
    """Why no kernel can be prepared here, as one sentence; empty if one can."""
    from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS

    text = "".join(map(inspect.getsource, _mirrored()))
    linecache.clearcache()  # it holds the files of all these
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    if digest != _DIGEST:
        return f"this version of IPython makes its kernel in another way ({digest})"
    if _is_configured([*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS]):
        return "IPython has a configuration of its own there"
    return ""


class PreparedKernel:
    """A kernel without anything of its own. Made by the zygote; each fork gives it the rest."""

    def __init__(self) -> None:
        from ipykernel.kernelapp import IPKernelApp
        from IPython.core.application import BaseIPythonApplication

        self._environment = {name: os.environ.get(name) for name in _DECISIVE}
        os.makedirs(os.environ["IPYTHONDIR"], exist_ok=True)
        self._app = app = IPKernelApp.instance()
        BaseIPythonApplication.initialize(app, list(_ARGUMENTS))
        app.init_pdb()
        self._kernel = app.kernel_class.instance(
            parent=app, log=app.log, profile_dir=app.profile_dir, user_ns=app.user_ns
        )
        self._shell = self._kernel.shell
        app.kernel = self._kernel
        app.init_shell()
        app.init_extensions()
        app.session.key = b""  # each has that of its connection file
        # All that there is by now, but for us; see _run_startup_code.
        ours = {name for name in sys.modules if name.partition(".")[0] == __package__}
        self._modules = set(sys.modules) - ours

    def fits(self, argv: list[str]) -> bool:
        """Whether a kernel started with these, here and now, would become this one."""
        from IPython.paths import get_ipython_dir

        if [*argv[:1], _NOWHERE, *argv[2:]] != _ARGUMENTS:
            return False
        is_same = {name: os.environ.get(name) for name in _DECISIVE} == self._environment
        return (
            is_same
            and get_ipython_dir() == self._app.ipython_dir
            and not _is_configured(self._app.config_file_paths)
        )

    def run(self, argv: list[str]) -> None:
        """Be the kernel started with these, until it is shut down. ``fits`` must be true."""
        app = self._app
        self._move_in(argv)
        app.init_blackhole()
        app.init_connection_file()
        app.init_poller()
        app.init_sockets()
        app.init_heartbeat()
        app.write_connection_file()
        app.log_connection_info()
        app.init_io()
        app.init_signal()
        self._connect()
        app.init_path()
        app.init_gui_pylab()
        self._run_startup_code()
        sys.stdout.flush()
        sys.stderr.flush()
        app.start()

    # --- Internal, in the fork ------------------------------------------------------------

    def _move_in(self, argv: list[str]) -> None:
        """What depends on the arguments, the environment, the directory and the files."""
        app, shell = self._app, self._shell
        app.argv = list(argv)
        app.connection_file = argv[1]
        for config in (app.config, app.cli_config):
            config.IPKernelApp.connection_file = argv[1]
        app.session.pid = os.getpid()
        app.session.session = app.session._session_default()  # as new as the process
        os.makedirs(app.profile_dir.location, exist_ok=True)
        app.profile_dir.check_dirs()
        shell.init_environment()
        shell.starting_dir = os.getcwd()
        shell.history_manager.dir_hist[:] = [Path.cwd()]

    def _connect(self) -> None:
        """``init_kernel``, with the kernel that there is."""
        app, kernel, shell = self._app, self._kernel, self._shell
        kernel_class = type(kernel)

        def given(**parts: Any) -> Any:
            for name, part in parts.items():
                if getattr(kernel, name) is not part:
                    setattr(kernel, name, part)
            return kernel

        kernel_class.instance = given
        try:
            app.init_kernel()
        finally:
            del kernel_class.instance
        kernel.ident = str(uuid.uuid4())
        kernel._stdout, kernel._stderr = sys.stdout, sys.stderr
        made_before: list[Any] = [sys.stdout, sys.stderr, app.displayhook]
        for each in made_before:
            kernel._shell_context.run(each._parent_header.set, {})
        debugger = getattr(kernel, "debugger", None)
        if debugger is not None:
            debugger.debugpy_client.debugpy_stream = kernel.debugpy_stream
            debugger.shell_socket = kernel.debug_shell_socket
            debugger.session = kernel.session
        shell.displayhook.session = shell.display_pub.session = kernel.session
        shell.displayhook.pub_socket = shell.display_pub.pub_socket = kernel.iopub_socket
        shell.displayhook.topic = kernel._topic("execute_result")
        if name := os.environ.get("JPY_SESSION_NAME"):
            shell.user_ns["__session__"] = name
        streams = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
        shell._orig_sys_module_state.update(streams)
        # It ends before the sockets do: what is registered last is called first.
        atexit.unregister(shell.atexit_operations)
        atexit.register(shell.atexit_operations)

    def _run_startup_code(self) -> None:
        """``init_code``; but to look at the names of all modules would write to all of them."""
        app, shell = self._app, self._shell
        app._run_startup_files()
        app._run_exec_lines()
        app._run_exec_files()
        if app.hide_initial_ns:
            shell.user_ns_hidden.update(shell.user_ns)
        app._run_cmd_line_code()
        app._run_module()
        for name in reversed(sys.modules):
            if name in self._modules:
                break
            self._modules.add(name)
        shell._sys_modules_keys = self._modules


def _mirrored() -> list[Any]:
    """What this module does in its own order, or relies upon."""
    from ipykernel.debugger import Debugger
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.kernelbase import Kernel
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.core.application import BaseIPythonApplication
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.shellapp import InteractiveShellApp

    return [
        BaseIPythonApplication.initialize,
        IPKernelApp.initialize,
        IPKernelApp.init_io,
        IPKernelApp.init_kernel,
        IPKernelApp.init_shell,
        IPKernelApp.start,
        InteractiveShellApp.init_code,
        Kernel.__init__,
        IPythonKernel.__init__,
        Debugger.__init__,
        InteractiveShell.__init__,
        InteractiveShell.init_instance_attrs,
        InteractiveShell.save_sys_module_state,
        ZMQInteractiveShell.__init__,
        ZMQInteractiveShell.init_environment,
        HistoryManager.__init__,
    ]


def _is_configured(directories: list[str]) -> bool:
    return any(
        os.path.exists(os.path.join(directory, f"{name}.{kind}"))
        for directory in directories
        for name in _CONFIGURATIONS
        for kind in ("py", "json")
    )
