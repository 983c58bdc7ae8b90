"""Messages a kernel never sends: well signed, on its own sockets, of every wrong kind."""

import time

from ipykernel.kernelapp import IPKernelApp

app = IPKernelApp.instance()
session, iopub = app.session, app.iopub_socket
parent = app.kernel.get_parent("shell")
strangers = [
    {"header": {"msg_id": each, "msg_type": "execute_request"}} for each in ("", "x" * 10_000, "no")
]


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


# Floods: of states, of comms, of questions, of answers to what nobody asked.
for number in range(3_000):
    session.send(
        iopub, "status", {"execution_state": "busy" if number % 2 else "idle"}, parent=strangers[0]
    )
    session.send(
        iopub, "comm_open", {"comm_id": f"c{number}", "target_name": "t", "data": {"n": number}}
    )
    session.send(iopub, "comm_msg", {"comm_id": f"c{number}", "data": {"n": number}}, parent=parent)
for number in range(300):
    session.send(
        app.stdin_socket,
        "input_request",
        {"prompt": str(number)},
        parent=parent,
        ident=session.bsession,
    )
    for kind in ("execute_reply", "complete_reply", "kernel_info_reply", "comm_close"):
        session.send(
            app.shell_socket,
            kind,
            {"status": "ok"},
            parent=strangers[number % 3],
            ident=session.bsession,
        )

# Shapes: each field of a message as something else.
for forged in strangers:
    session.send(iopub, "stream", {"name": "stdout", "text": "forged"}, parent=forged)
for content in (
    {},
    {"name": 1, "text": 2},
    {"name": "stdout", "text": ["x"]},
    {"data": [], "metadata": 0},
):
    for kind in (
        "stream",
        "display_data",
        "execute_result",
        "error",
        "status",
        "clear_output",
        "comm_open",
        "execute_input",
        "update_display_data",
        "\ud800".encode("utf-8", "replace").decode(),
        "",
    ):
        session.send(iopub, kind, content, parent=parent)
for raw in (
    b"[]",
    b"null",
    b"{",
    b"\xff",
    b"NaN",
    b'{"data": NaN}',
    b'{"name": "stdout", "text": "\\ud800"}',
):
    session.send(iopub, "display_data", raw, parent=parent)
for depth in (90, 400, 900, 2_000, 100_000):
    session.send(
        iopub,
        "display_data",
        b'{"data": {"application/json": %s}, "metadata": {}}' % nested(depth),
        parent=parent,
    )
    session.send(
        iopub,
        "comm_open",
        b'{"comm_id": "deep%d", "target_name": "t", "data": %s}' % (depth, nested(depth)),
    )
session.send(
    iopub,
    "display_data",
    {"data": {f"k{n}": "" for n in range(20_000)}, "metadata": {}},
    parent=parent,
)
session.send(
    iopub,
    "display_data",
    {"data": {"text/plain": "x"}, "metadata": {}},
    parent=parent,
    buffers=[b""] * 5_000,
)
iopub.send_multipart([b"a"] * 1_000)
iopub.send_multipart([b"<IDS|MSG>"])
iopub.send_multipart([b"", b"<IDS|MSG>", b"", b"", b"", b"", b""])
# An end before the end.
session.send(
    app.shell_socket,
    "execute_reply",
    {"status": "nonsense", "execution_count": {}},
    parent=strangers[2],
    ident=session.bsession,
)
time.sleep(0.2)
print("forged")
