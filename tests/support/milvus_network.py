"""The process between the tests and their Milvus: keeps it to this machine.

Milvus 2.3.5 listens on all interfaces, and has no setting for that. So it gets a network of its own where the kernel
lets us make one, and connections to a port of 127.0.0.1 are handed into that; nothing outside of this machine reaches
it then. Where the kernel does not, it listens on free ports, and a root password that is random and users that are
checked must do (see ``MilvusServer``).

An object storage that it is to use is outside of that network: connections to a port of its 127.0.0.1 are handed out,
to a Unix socket.

Usage: ``milvus_network.py LISTENER_FD PORT STORAGE COMMAND...``, where STORAGE is ``PORT=SOCKET``, or empty
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x1


def isolate() -> bool:
    """Move this process, and what it starts, to a network that has nothing but a loopback interface.

    A socket made before stays where it was. To be called while there is one thread.

    :return: whether it could be done; if not, all is as before.
    """
    # Some kernels allow the first steps and not the last, and there is no way back: so a child tries it first.
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError):
            os._exit(0 if _isolate() else 1)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0 and _isolate()


def _isolate() -> bool:
    user, group = os.getuid(), os.getgid()
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None or unshare(_NEW_USER | _NEW_NET):
        return False
    # We stay who we are: files are still ours.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
    return True


def _hand_in(listener: socket.socket, port: int) -> None:
    """Take connections, and hand each to the port of the server."""
    while True:
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            # Not up yet: the connection is refused, and tried again.
            outer.close()
            continue
        inner.settimeout(None)
        for entry in (outer, inner):
            entry.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _join(outer, inner)


def _hand_out(listener: socket.socket, path: str) -> None:
    """Take connections of the server, and hand each to a Unix socket."""
    while True:
        inner, _ = listener.accept()
        outer = socket.socket(socket.AF_UNIX)
        outer.connect(path)
        _join(inner, outer)


def _join(one: socket.socket, other: socket.socket) -> None:
    for pair in ((one, other), (other, one)):
        threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            sink.sendall(data)
    # Both directions: neither end of a gRPC connection goes on when the other has hung up.
    for entry in (source, sink):
        with contextlib.suppress(OSError):
            entry.shutdown(socket.SHUT_RDWR)


def main(descriptor: str, port: str, storage: str, *command: str) -> None:
    listener = socket.socket(fileno=int(descriptor))
    print("a network of its own" if isolate() else "no network of its own, it listens on all interfaces", flush=True)
    if storage:
        storage_port, _, path = storage.partition("=")
        within = socket.create_server(("127.0.0.1", int(storage_port)))
        threading.Thread(target=_hand_out, args=(within, path), daemon=True).start()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_hand_in, args=(listener, int(port)), daemon=True).start()
    # When it ends, so do we: what it said stays.
    sys.exit(server.wait())


if __name__ == "__main__":
    main(*sys.argv[1:])
