"""Reaching anything through a socket.

GIVEN: port (somebody listens there, TCP and UDP), address (of this machine), abstract (a socket's
name without a file).
"""

# ruff: noqa: F821 - common.py stands before this; descriptors end with their process

import contextlib
import socket

LOCAL = ("127.0.0.1", "127.0.0.2", "0.0.0.0", GIVEN["address"])
ELSEWHERE = "192.0.2.1"  # an address that is nobody's, for documentation
# By number: not every Python names them.
FAMILIES = {
    "AF_AX25": 3, "AF_IPX": 4, "AF_X25": 9, "AF_KEY": 15, "AF_PACKET": 17, "AF_RDS": 21,
    "AF_CAN": 29, "AF_TIPC": 30, "AF_BLUETOOTH": 31, "AF_ALG": 38, "AF_NFC": 39, "AF_VSOCK": 40,
    "AF_KCM": 41, "AF_QIPCRTR": 42, "AF_SMC": 43, "AF_XDP": 44, "AF_MCTP": 45,
}  # fmt: skip
KINDS = {"stream": 1, "datagram": 2, "raw": 3, "seqpacket": 5}
NETLINK = {"SOCK_DIAG": 4, "NFLOG": 5, "XFRM": 6, "AUDIT": 9, "NETFILTER": 12, "KOBJECT": 15,
           "GENERIC": 16, "CRYPTO": 21}  # fmt: skip


def connects(address, port=GIVEN["port"]):
    with socket.socket() as client:
        client.settimeout(1)
        client.connect((address, port))
        return f"{address}:{port}"


def connects6():
    with socket.socket(socket.AF_INET6) as client:
        client.settimeout(1)
        client.connect(("::1", GIVEN["port"]))
        return "::1"


def connects_abstract(name):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)
        return name


def sends(address):
    """A datagram; only who gets it can tell, so it is not said here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"attack", (address, GIVEN["port"]))


def resolves():
    socket.setdefaulttimeout(1)
    return socket.getaddrinfo("example.org", 80)


def opens(family):
    """A socket of a family that no program of ours needs."""
    for name, kind in KINDS.items():
        with contextlib.suppress(OSError):
            socket.socket(family, kind).close()
            return name
    return ""


def opens_kind(family, kind, protocol):
    socket.socket(family, kind, protocol).close()
    return "a socket"


for address in LOCAL:
    attempt(f"tcp to {address}", lambda address=address: connects(address))
    attempt(f"udp to {address}", lambda address=address: sends(address))
attempt("tcp to ::1", connects6)
attempt("tcp elsewhere", lambda: connects(ELSEWHERE, 80))
attempt("name resolution", resolves)
attempt("abstract socket", lambda: connects_abstract(GIVEN["abstract"]))
for family_name, family in FAMILIES.items():
    attempt(family_name, lambda family=family: opens(family))
for netlink_name, protocol in NETLINK.items():
    attempt(f"netlink {netlink_name}", lambda protocol=protocol: opens_kind(16, 3, protocol))
attempt("raw internet socket", lambda: opens_kind(socket.AF_INET, 3, 1))
attempt("raw internet socket 6", lambda: opens_kind(socket.AF_INET6, 3, 58))
