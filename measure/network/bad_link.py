"""A network between two network namespaces that delays, loses, and has little room: in user space.

Two pairs of virtual Ethernet devices end in this process, which hands each frame from one to the
other as late as asked, or not at all. `tc netem` does the same where a kernel has it; many do
not, and what is measured should not depend on that.

    python measure/network/bad_link.py DEVICE DEVICE   # `Settings` as JSON on stdin

Needs CAP_NET_RAW and CAP_NET_ADMIN.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_ETH_P_ALL, _PACKET_OUTGOING = 0x0003, 4
_SIOCETHTOOL, _SET_TX_CHECKSUMS = 0x8946, 0x17
_SO_RCVBUFFORCE, _BUFFER_BYTES = 33, 16 * 2**20
"""What comes while this process does not run must not be lost unasked."""
_CLONE_NEWNET = 0x40000000
_MOST_WAITING_BYTES = 1_000_000
"""What a router keeps before it drops: more than a second and a half at 5 Mbit/s."""
_SEED = 0


@dataclass(frozen=True)
class Settings:
    """How bad the network is, in each direction."""

    delay_s: float = 0.0
    loss: float = 0.0
    """Share of frames that vanish, 0..1."""
    rate_bit_s: float = 0.0
    """Room; 0: without a limit."""
    cut: bool = False
    """The cable is out: nothing arrives."""


class Direction:
    """Frames on their way from one device to the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.taken = self.lost = 0
        self._rng = random.Random(_SEED)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._waiting_bytes = 0
        self._count = itertools.count()
        self._free_s = 0.0
        """When the last frame has gone onto the wire."""

    def take(self, settings: Settings) -> None:
        """Take every frame that has come."""
        while True:
            try:
                frame, address = self.source.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] == _PACKET_OUTGOING:
                continue
            self.taken += 1
            full = self._waiting_bytes + len(frame) > _MOST_WAITING_BYTES
            if settings.cut or full or self._rng.random() < settings.loss:
                self.lost += 1
                continue
            now_s = time.monotonic()
            self._free_s = max(self._free_s, now_s)
            if settings.rate_bit_s:
                self._free_s += 8 * len(frame) / settings.rate_bit_s
            self._waiting_bytes += len(frame)
            due_s = self._free_s + settings.delay_s
            heapq.heappush(self._waiting, (due_s, next(self._count), frame))

    def give(self) -> float | None:
        """Hand over what is due; when the next one is, or None."""
        while self._waiting:
            due_s, _, frame = self._waiting[0]
            if due_s > time.monotonic():
                return due_s
            try:
                self.target.send(frame)
            except OSError:  # the device is full, or gone: a frame that is lost
                self.lost += 1
            heapq.heappop(self._waiting)
            self._waiting_bytes -= len(frame)
        return None


def carry(devices: tuple[str, str]) -> None:
    """Carry frames until stdin ends."""
    ends = []
    for device in devices:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        end.bind((device, 0))
        end.setblocking(False)
        ends.append(end)
    directions = [Direction(*ends), Direction(*reversed(ends))]
    settings = Settings()
    print("ready", flush=True)
    while True:
        due_s = [due for due in (direction.give() for direction in directions) if due is not None]
        left_s = max(0.0, min(due_s) - time.monotonic()) if due_s else None
        ready, _, _ = select.select([*ends, sys.stdin], [], [], left_s)
        for direction in directions:
            if direction.source in ready:
                direction.take(settings)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            settings = Settings(**json.loads(line))
            print(json.dumps([[d.taken, d.lost] for d in directions]), flush=True)


class BadLink:
    """The process that carries frames, as whoever measures sees it."""

    def __init__(self, devices: tuple[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *devices],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def be(self, settings: Settings) -> list[list[int]]:
        """From now on; returns the frames taken and lost until now, of each direction."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(settings)) + "\n")
        self._process.stdin.flush()
        counts: list[list[int]] = json.loads(self._answer())
        return counts

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("error: measure/network/bad_link.py ended: it needs CAP_NET_RAW")
        return line


def enter(namespace: str) -> None:
    """Let this thread live in a network namespace, and what it starts."""
    with Path(f"/var/run/netns/{namespace}").open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def compute_checksums(device: str) -> None:
    """Have packets leave a device complete: what is carried here passes no hardware that would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        value = ctypes.create_string_buffer(struct.pack("II", _SET_TX_CHECKSUMS, 0))
        request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
        fcntl.ioctl(any_socket.fileno(), _SIOCETHTOOL, request)


@contextmanager
def two_hosts(first: str, second: str) -> Iterator[BadLink]:
    """Two network namespaces of these names with addresses 10.77.0.1 and 10.77.0.2 and a bad link.

    Raises:
        SystemExit: namespaces or virtual devices cannot be made here; says which.
    """
    if shutil.which("ip") is None:
        raise SystemExit("skipped: no ip command (iproute2)")
    made: list[str] = []
    # Two of these may be at work on a machine.
    devices = f"vinn{os.getpid()}-1", f"vinn{os.getpid()}-2"
    try:
        for number, (name, device) in enumerate(zip((first, second), devices, strict=True), 1):
            _ip("netns", "add", name)
            made.append(name)
            _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", device, "up")
            _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            command = (
                f"import bad_link; bad_link.enter({name!r}); bad_link.compute_checksums('eth0')"
            )
            subprocess.run([sys.executable, "-c", command], cwd=Path(__file__).parent, check=True)
        link = BadLink(devices)
        try:
            yield link
        finally:
            link.close()
    finally:
        for name, device in zip(made, devices, strict=False):
            # A namespace goes when nobody lives in it any more; its cable goes now.
            for gone in (("link", "del", device), ("netns", "del", name)):
                subprocess.run(["ip", *gone], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"skipped: ip {' '.join(arguments)}: {done.stderr.strip()}")


def main() -> None:
    """Carry frames, or see to it that a device's packets can be carried."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("devices", nargs=2, metavar="DEVICE")
    parser.add_argument(
        "--complete-packets",
        action="store_true",
        help="of the second, in the namespace first named",
    )
    given = parser.parse_args()
    if given.complete_packets:
        enter(given.devices[0])
        compute_checksums(given.devices[1])
    else:
        carry((given.devices[0], given.devices[1]))


if __name__ == "__main__":
    main()
