"""A network of the test's own: a namespace for each zone behind one bridge, and links to cut.

The test process keeps the bridge's address, so that its clients reach every zone whatever is cut
between the zones: they stand on both sides. Needs root, `ip` and `iptables`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

# One of the private 10.0.0.0/8 for each test process: runs side by side must not share addresses.
SUBNET = f"10.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250}"
COMMAND_DEADLINE_S = 20.0
PROGRAMS = ("ip", "iptables")


def reason_not_to_run() -> str:
    """Why this machine cannot have network namespaces; "" when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt install iproute2 iptables)"
    name = f"tri{os.getpid()}x"
    try:
        run("ip", "netns", "add", name)
        run("ip", "netns", "exec", name, "iptables", "-w", "-L", "INPUT")
    except OSError as error:
        return f"namespaces or iptables do not work here: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return ""


def run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class ZoneNetwork:
    """Namespaces for `zones`. Leave it as a context manager: it removes all that it made."""

    def __init__(self, zones: tuple[str, ...]) -> None:
        self.zones = zones
        self._bridge = f"tri{os.getpid()}"
        self._cut: set[tuple[str, str]] = set()

    def namespace(self, zone: str) -> str:
        return f"{self._bridge}-{zone}"

    def address(self, zone: str) -> str:
        return f"{SUBNET}.{self.zones.index(zone) + 1}"

    def command_prefix(self, zone: str) -> tuple[str, ...]:
        """Runs a command in the zone; the process keeps the pid."""
        return ("ip", "netns", "exec", self.namespace(zone))

    def __enter__(self) -> Self:
        try:
            run("ip", "link", "add", self._bridge, "type", "bridge")
            run("ip", "address", "add", f"{SUBNET}.254/24", "dev", self._bridge)
            run("ip", "link", "set", self._bridge, "up")
            for number, zone in enumerate(self.zones):
                self._add_zone(zone, f"{self._bridge}v{number}")
        except BaseException:
            self._remove()
            raise
        return self

    def _add_zone(self, zone: str, outside: str) -> None:
        namespace = self.namespace(zone)
        inside = ("ip", "-n", namespace)
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", outside, "type", "veth", "peer", "eth0", "netns", namespace)
        run("ip", "link", "set", outside, "master", self._bridge, "up")
        run(*inside, "address", "add", f"{self.address(zone)}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "link", "set", "lo", "up")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for zone in self.zones:
            subprocess.run(
                ["ip", "netns", "del", self.namespace(zone)], capture_output=True, check=False
            )
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True, check=False)

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing of `sender` reaches `receiver` any more; the other direction stays."""
        if (sender, receiver) not in self._cut:
            self._filter("-A", sender, receiver)
            self._cut.add((sender, receiver))

    def isolate(self, zone: str) -> None:
        """No packet between the zone and the other zones. Clients still reach it."""
        for other in self.zones:
            if other != zone:
                self.cut(other, zone)
                self.cut(zone, other)

    def heal(self) -> None:
        for sender, receiver in self._cut:
            self._filter("-D", sender, receiver)
        self._cut.clear()

    def _filter(self, action: str, sender: str, receiver: str) -> None:
        inside = self.command_prefix(receiver)
        run(*inside, "iptables", "-w", action, "INPUT", "-s", self.address(sender), "-j", "DROP")
