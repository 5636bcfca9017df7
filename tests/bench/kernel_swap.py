"""A zram swap device and a memory cgroup, for as long as a with block lasts.

Needs root. Both kinds of memory cgroup are known: version 1, with a
hierarchy of its own, and version 2, as Debian mounts it.
"""

import contextlib
import pathlib
import os
import subprocess

CGROUP = pathlib.Path("/sys/fs/cgroup")


class Unavailable(Exception):
    """This machine cannot do it; the text says why."""


def run(*command):
    result = subprocess.run(command, check=False, capture_output=True,
                            text=True)
    if result.returncode != 0:
        raise Unavailable(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout.strip()


def check_alone():
    """A swap device of somebody else's would take part of the load."""
    swaps = pathlib.Path("/proc/swaps").read_text().splitlines()[1:]
    if swaps:
        raise Unavailable(f"another swap device is in use: {swaps[0]}")


@contextlib.contextmanager
def zram_swap(size):
    """Yields the device's name and compressor. All stock but the size."""
    if os.geteuid() != 0:
        raise Unavailable("needs root, for swapon and a cgroup")
    check_alone()
    if not pathlib.Path("/sys/class/zram-control").exists():
        run("modprobe", "zram")
    device = run("zramctl", "--find", "--size", str(size))
    try:
        run("mkswap", device)
        run("swapon", "--priority", "100", device)
        try:
            algorithm = run("zramctl", "--noheadings", "--output",
                            "ALGORITHM", device)
            yield device, algorithm
        finally:
            run("swapoff", device)
    finally:
        run("zramctl", "--reset", device)


@contextlib.contextmanager
def memory_cgroup(limit):
    """Yields a function for preexec_fn: it puts the child into the cgroup."""
    name = f"farswap-bench-{os.getpid()}"
    if (CGROUP / "memory/memory.limit_in_bytes").exists():
        folder, knob = CGROUP / "memory" / name, "memory.limit_in_bytes"
    elif (CGROUP / "cgroup.controllers").exists():
        (CGROUP / "cgroup.subtree_control").write_text("+memory")
        folder, knob = CGROUP / name, "memory.max"
    else:
        raise Unavailable("no memory cgroup is mounted in /sys/fs/cgroup")
    folder.mkdir()
    try:
        (folder / knob).write_text(str(limit))
        procs = str(folder / "cgroup.procs")

        def enter():
            with open(procs, "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

        yield enter
    finally:
        folder.rmdir()
