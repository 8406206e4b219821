"""The processes of a --distributed job: they connect, compare flags, and notice if one ends.

JAX's service, through which they connect, ends a process with a stack trace when another one has
ended. They leave it as soon as they are connected. From then on they share files, and each has a
connection to process 0 that breaks when either of the two ends.
"""

import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import jax
from jax._src import distributed

from ticketjax.commands.flags import FLAGS, JOB, FlagError
from ticketjax.records.manifest import CHECKED_PACKAGES, versions

# Seconds that a process waits for the others to start, and to answer.
WAIT = 300
ANSWER = 60
# Seconds that JAX's own limit is longer, so that it is never reached: it would end the process
# with a stack trace.
BEYOND = 600
# Flags that may differ between processes, because they change no record.
OWN_FLAGS = (*JOB, "chunk_size", "compilation_cache", "wait", "data_dir")
OPENED = b"."
# A machine that loses power sends nothing. Its connections then break after a minute.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

_connections: dict[int, socket.socket] = {}


def join(**job: Any) -> None:
    """Connect to the other processes, and check that all have the same flags and versions.

    Args:
        **job: as jax.distributed.initialize() takes it; a value of None is detected.

    Raises:
        FlagError: the others are not found, or one of them has other flags or versions.
    """
    _initialize(job)
    try:
        server = _server() if distributed.global_state.process_id == 0 else None
        token = secrets.token_hex()
        own = {"port": server and server.getsockname()[1], "token": token, "runs": _what_runs()}
        all_processes = [json.loads(text) for text in _exchange(json.dumps(own))]
        # Checked while JAX's service still runs.
        jax.process_index()
        _refuse_differences([process["runs"] for process in all_processes])
        _connect(server, all_processes[0]["port"], all_processes[0]["token"])
    finally:
        jax.distributed.shutdown()


def _initialize(job: dict[str, Any]) -> None:
    who = "this process"
    if job["num_processes"] is not None:
        who = (
            f"process {job['process_id']} of {job['num_processes']} ({job['coordinator_address']})"
        )
    print(f"{who} waits for the other processes, at most {WAIT} s", file=sys.stderr, flush=True)
    # The main thread runs no Python code until all processes have connected.
    timer = threading.Timer(WAIT, _give_up, [who])
    timer.daemon = True
    timer.start()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        jax.distributed.initialize(**job, initialization_timeout=WAIT + BEYOND)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise FlagError(f"--distributed: the other processes cannot be found: {reason}") from None
    finally:
        signal.signal(signal.SIGINT, interrupt)
        timer.cancel()


def _give_up(who: str) -> None:
    print(f"error: --distributed: not all others connected to {who} in {WAIT} s", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def _what_runs() -> dict[str, str]:
    """Flags and versions of this process, in the form in which processes exchange them."""
    flags = {flag.name: flag for flag in FLAGS.get_key_flags_for_module(sys.argv[0])}
    told = {}
    for name, flag in sorted(flags.items()):
        if name not in OWN_FLAGS:
            value = ",".join(map(str, flag.value)) if isinstance(flag.value, list) else flag.value
            told[f"--{name}"] = f"--{name}={value}"
    own = versions()
    return told | {name: f"{name} {own[name]}" for name in CHECKED_PACKAGES}


def _refuse_differences(processes: Sequence[dict[str, str]]) -> None:
    first = processes[0]
    for index, other in enumerate(processes):
        names = [name for name in first | other if first.get(name) != other.get(name)]
        if names:
            theirs, ours = (
                ", ".join(what.get(name, f"no {name}") for name in names) for what in (other, first)
            )
            raise FlagError(f"--distributed: process {index} has {theirs}, process 0 has {ours}")


def _exchange(text: str) -> list[str]:
    """What every process has given, in their order."""
    state = distributed.global_state
    assert state.client is not None
    state.client.key_value_set(f"ticketjax/{state.process_id}", text)
    try:
        return [
            state.client.blocking_key_value_get(f"ticketjax/{index}", ANSWER * 1000)
            for index in range(state.num_processes)
        ]
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise FlagError(f"--distributed: a process does not answer: {reason}") from None


def _server() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _connect(server: socket.socket | None, port: int, token: str) -> None:
    """Connect every process to process 0, which recognises the job's processes by the token."""
    state = distributed.global_state
    assert state.coordinator_address is not None
    host = state.coordinator_address.rsplit(":", 1)[0].strip("[]")
    try:
        if server is None:
            _connections[0] = socket.create_connection((host, port), timeout=ANSWER)
            _connections[0].sendall(f"{token} {state.process_id}\n".encode())
        else:
            with server:
                server.settimeout(ANSWER)
                while len(_connections) < state.num_processes - 1:
                    _accept(server, token)
    except OSError as error:
        raise FlagError(
            f"--distributed: no connection between process {state.process_id} and the others, "
            f"{host}:{port}: {error}"
        ) from None
    for connection in _connections.values():
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _accept(server: socket.socket, token: str) -> None:
    connection, _ = server.accept()
    connection.settimeout(ANSWER)
    with connection.makefile("rb") as file:
        given, _, index = file.readline(1000).decode(errors="replace").strip().partition(" ")
    if secrets.compare_digest(given.encode(), token.encode()):
        _connections[int(index)] = connection
    else:
        connection.close()


def gone() -> int | None:
    """A process whose connection is broken; None if there is none."""
    for index, connection in _connections.items():
        try:
            if connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                return index
        except BlockingIOError:
            continue
        except OSError:
            return index
    return None


def has_ended(index: int) -> ConnectionError:
    """The error of a process that cannot continue because another process has ended."""
    return ConnectionError(f"--distributed: process {index} ended before all runs were done")


def tell_opened() -> None:
    """As process 0, tell the others to continue: the results directories are open and locked."""
    for connection in _connections.values():
        try:
            connection.sendall(OPENED)
        except OSError:
            # The code that runs the grids notices and reports it.
            continue


def wait_until_opened() -> None:
    """Wait, in a process other than process 0, until process 0 has opened the results directories.

    Raises:
        ConnectionError: process 0 has ended, because it was refused or killed.
    """
    try:
        told = _connections[0].recv(1)
    except OSError:
        told = b""
    if not told:
        raise has_ended(0)
