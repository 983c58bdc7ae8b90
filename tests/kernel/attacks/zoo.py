"""A workspace of everything that is no plain file, under every name a disk takes.

It is readable program text as well as an attack: what it made, by kind, is printed as JSON. Names
are given in hexadecimal, because they need not be text.
"""

import json
import os
import socket

os.chdir("/mnt/data")
MADE = {}


def made(kind, name):
    MADE.setdefault(kind, []).append(os.fsencode(name).hex())


os.mkdir("real")
for where in ("real/plain", "real/second"):
    with open(where, "w") as file:
        file.write("plain")

# Links: out, to nowhere, to themselves, to each other, to what every process has.
LINKS = {
    "to-passwd": "/etc/passwd", "to-root": "/", "to-proc": "/proc/self", "to-server": "/proc/1/root",
    "dangling": "nowhere", "self": "self", "loop-a": "loop-b", "loop-b": "loop-a",
    "up": "../..", "inside": "real/plain", "to-fd": "/dev/fd/0", "long": "x/" * 2000,
}  # fmt: skip
for name, target in LINKS.items():
    os.symlink(target, name)
    made("closed", name)
os.symlink("/etc", "real/etc")
made("closed", "real/etc")

os.mkfifo("fifo")
made("closed", "fifo")
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
made("closed", "socket")

os.link("real/plain", "hard")
made("file", "hard")
os.truncate(os.open("sparse", os.O_CREAT | os.O_RDWR), 2**30 + 1)
made("large", "sparse")

NAMES = [
    b"-rf", b"--help", b"...", b".hidden", b" ", b"  two  ", b"a\nb", b"\r\n\r\nHTTP 200 OK", b"tab\t",
    b"\\", b"..\\..\\evil", b"C:\\x", b"%2e%2e%2f", b"%00", b"\xff\xfe", b"\xed\xa0\x80", b"\x7f\x1b[2J",
    b"x" * 255, "\u202egnp.exe".encode(), b"<script>alert(1)<", b"'\";--", b"$(id)", b"`id`", b"~root",
    b"con", b"null", b"\xc3\xa9", b"e\xcc\x81", b"a" * 250 + "\u20ac".encode(), b"?path=x", b"#", b"*",
]  # fmt: skip
for name in NAMES:
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    made("file", name)
os.utime("hard", (-(2**40), -(2**40)))
os.utime("-rf", (2**40, 2**40))
os.chmod("--help", 0o7777)
os.chmod(".hidden", 0)

os.makedirs("shut/inner")
os.close(os.open("shut/inner/file", os.O_CREAT))
os.chmod("shut/inner", 0)
os.chmod("shut", 0)
made("directory", "shut")
os.mkdir(b"dir\xff\n")
os.close(os.open(b"dir\xff\n/in", os.O_CREAT))
made("directory", b"dir\xff\n")

deep = "deep"
os.mkdir(deep)
made("directory", deep)
os.chdir(deep)
for _ in range(300):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
os.chdir("/mnt/data")
os.mkdir("crowd")
made("directory", "crowd")
for number in range(2_000):
    os.close(os.open(f"crowd/{number}", os.O_CREAT))

print(json.dumps(MADE))
