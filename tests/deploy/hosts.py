"""Hosts: network namespaces, each with an address of its own on one switch; links can be cut, or be slow and lossy.

The switch is a bridge in a namespace of its own. So networks share nothing with each other or with the machine's own
interfaces and packet filters: each has the same addresses, and its servers listen at their usual ports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from tests.deploy.image import not_on_the_path
from tests.swarm.processes import wait_until

_TUN = Path("/dev/net/tun")
_OWN_FILES = Path("/etc/netns")  # of each namespace; ip netns exec puts them over those in /etc
_SLOW_WIRE = Path(__file__).with_name("slow_wire.py")


@cache
def why_no_hosts() -> str:
    """What keeps this machine from having hosts; empty where nothing does."""
    if os.geteuid() != 0:
        return "network namespaces are made by root only"
    if missing := not_on_the_path("ip", package="iproute2"):
        return missing
    if not _TUN.exists():
        return f"there is no {_TUN}, which slow links are made with"
    try:
        with running_network() as network:
            network.host("first").run("true")
    except HostError as error:
        return f"no network namespaces here: {error}"
    return ""


class HostError(Exception):
    """iproute2, or a command on a host, failed; the text has the command and what it said."""


@contextmanager
def running_network() -> Iterator[Network]:
    """A switch without hosts. In the end it and they are removed, with whatever still runs there."""
    with ExitStack() as undo:
        yield Network(undo)


class Network:
    """A switch, and the hosts on it."""

    def __init__(self, undo: ExitStack) -> None:
        """``undo`` is told how to remove each part before it is made."""
        self.name = f"tfs-{uuid.uuid4().hex[:12]}"
        self._hosts = 0
        self._undo = undo
        self._namespace(self.name)
        _ip("-n", self.name, "link", "add", "switch", "type", "bridge")
        _ip("-n", self.name, "link", "set", "switch", "up")

    def host(
        self, role: str, *, delay_s: float = 0, loss: float = 0, names: Mapping[str, Sequence[str]] | None = None
    ) -> Host:
        """A host more. ``delay_s`` and ``loss`` (a share of the frames) are each way; ``names``: name -> addresses."""
        self._hosts += 1
        host = Host(f"{self.name}-{role}-{self._hosts}", self.name, f"port{self._hosts}", f"10.0.0.{self._hosts}")
        self._namespace(host.name)
        self._names(host, names or {})
        if delay_s or loss:
            self._slow_link(host, delay_s, loss)
        else:
            peer = ["peer", "name", "eth0", "netns", host.name]
            _ip("-n", self.name, "link", "add", host.port, "type", "veth", *peer)
        _ip("-n", self.name, "link", "set", host.port, "master", "switch", "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
        _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        return host

    def _namespace(self, name: str) -> None:
        self._undo.callback(_remove, name)
        _ip("netns", "add", name)

    def _names(self, host: Host, names: Mapping[str, Sequence[str]]) -> None:
        folder = _OWN_FILES / host.name
        self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lines = ["127.0.0.1 localhost"]
        lines += [f"{address} {name}" for name, addresses in names.items() for address in addresses]
        (folder / "hosts").write_text("\n".join(lines) + "\n")

    def _slow_link(self, host: Host, delay_s: float, loss: float) -> None:
        """Two interfaces with a process between them: not every kernel has tc's netem."""
        far = f"far{self._hosts}"
        options = [host.port, far, f"--delay-s={delay_s}", f"--loss={loss}"]
        command = ["ip", "netns", "exec", self.name, sys.executable, str(_SLOW_WIRE), *options]
        wire = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._undo.callback(wire.communicate)
        self._undo.callback(wire.kill)
        assert wire.stdout is not None
        if wire.stdout.readline() != "ready\n":
            raise HostError(f"the slow link of {host.name} did not come up")
        _ip("-n", self.name, "link", "set", far, "netns", host.name, "name", "eth0")


class Host:
    """One host."""

    def __init__(self, name: str, switch: str, port: str, address: str) -> None:
        self.name = name
        self.port = port
        """Its interface on the switch."""
        self.address = address
        self._switch = switch

    @property
    def through(self) -> tuple[str, ...]:
        """What stands before a command so that it runs here; the process is the command's own, with its id."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str, within_s: float = 20) -> str:
        """Standard output of a command that ends well. Raises HostError otherwise."""
        return _output(*self.through, *command, within_s=within_s)

    def sent_again(self) -> int:
        """How many TCP segments it has sent more than once."""
        names, counts = (line.split() for line in self.run("grep", "^Tcp:", "/proc/net/snmp").splitlines())
        return int(counts[names.index("RetransSegs")])

    def cut(self) -> None:
        """Pull the cable: nothing comes or goes any more, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self.port, "nomaster")


def _ip(*arguments: str) -> str:
    return _output("ip", *arguments)


def _output(*command: str, within_s: float = 20) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=within_s
    )
    if done.returncode:
        raise HostError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _remove(name: str) -> None:
    """A namespace lives as long as its processes: they were ended by who started them; what they left, here."""
    if name not in _ip("netns", "list").split():
        return

    def ended() -> bool:
        found = _ip("netns", "pids", name).split()
        for pid in found:
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                continue
        return not found

    try:
        wait_until(ended, within_s=10)
    finally:
        _ip("netns", "delete", name)
