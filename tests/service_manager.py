#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for systemd where it is not process 1: it is the service manager of one command.

    service_manager.py LOG COMMAND...

It receives the messages of sd_notify(3), stores descriptors (FDSTORE=1) as systemd 252 does, and starts the command again
with them (sd_listen_fds(3)) when all of its processes have ended. LOG gets a line for each message and for each start.
SIGTERM is passed to the command, which is not started again.
"""
import array
import ctypes
import os
import signal
import socket
import sys

KCMP = 312  # x86_64
libc = ctypes.CDLL(None)
log = open(sys.argv[1], "w", buffering=1)
command = sys.argv[2:]
store = []  # (name, descriptor)
ends = False


def is_one_open_file(a, b):
    pid = os.getpid()
    return libc.syscall(KCMP, pid, pid, 0, a, b) == 0


def handle(text, fds):
    fields = dict(line.split("=", 1) for line in text.decode().split("\n") if "=" in line)
    name = fields.get("FDNAME", "stored")
    if fields.get("FDSTOREREMOVE") == "1":
        for entry in [entry for entry in store if entry[0] == name]:
            os.close(entry[1])
            store.remove(entry)
    if fields.get("FDSTORE") == "1" and fields.get("FDPOLL") == "0":
        for fd in fds:
            if any(is_one_open_file(fd, stored) for _, stored in store):
                os.close(fd)
            else:
                store.append((name, fd))
    print(" ".join(text.decode().split("\n")), "stored:", len(store), file=log)


def receive(sock):
    text, control, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    handle(text, list(fds))


def start():
    print("start with", len(store), "descriptors", file=log)
    pid = os.fork()
    if pid:
        return pid
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # Above the numbers that they get: none of them is closed before it is copied.
    copies = [(name, os.dup2(fd, 500 + i, inheritable=False)) for i, (name, fd) in enumerate(store)]
    for i, (_, fd) in enumerate(copies):
        os.dup2(fd, 3 + i, inheritable=True)
    environment = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}
    if store:
        environment |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(store)),
                        "LISTEN_FDNAMES": ":".join(name for name, _ in store)}
    os.execvpe(command[0], command, environment)


def on_term(*_):
    global ends
    ends = True
    os.kill(child, signal.SIGTERM)


# Orphaned servers are children of this process, so it knows when all have ended.
PR_SET_CHILD_SUBREAPER = 36
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
path = os.path.abspath("notify")
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(path)
sock.settimeout(0.02)
child = start()
signal.signal(signal.SIGTERM, on_term)
while True:
    try:
        while True:
            receive(sock)
    except TimeoutError:
        pass
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        if ends:
            sys.exit(0)
        child = start()
