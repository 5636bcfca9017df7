"""A real farswap-server in a folder of its own, for tests in Python.

    with ServerProcess(binary, pool="file") as server:
        ... server.data_address, server.admin_address, server.metrics_address
        server.kill()      # kill -9
        server.start()     # the same data, the same pool, the same addresses

Every wait has a bound; leaving the block ends the process and removes the
folder. Not thread-safe.
"""

import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time

READY = re.compile(
    rb"farswap-server ready data=(\S+) admin=(\S+) metrics=(\S+)\n")


class ServerProcess:
    """Starts on entering a with block; see the module."""

    def __init__(self, binary, pool="anon", capacity="1GiB", options=(),
                 start_seconds=60, stop_seconds=60):
        """pool: "anon", "file" (in the folder), or a path."""
        self._binary = str(binary)
        self._options = list(options)
        self._capacity = capacity
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        # Short: paths of Unix sockets have at most 107 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp"))
        self._pool = str(self.folder / "pool") if pool == "file" else pool
        # Port 0 at first; then what it became, so that clients find it again.
        self.data_address = "127.0.0.1:0"
        self.admin_address = "127.0.0.1:0"
        self.metrics_address = "127.0.0.1:0"
        self._process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused):
        self.close()

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Returns when the server serves; raises with its log if it fails."""
        assert self._process is None, "it runs already"
        with open(self.folder / "log", "ab") as log:
            # Its own group: a Ctrl-C is ours to pass on.
            self._process = subprocess.Popen(
                [self._binary, f"--listen={self.data_address}",
                 f"--admin-listen={self.admin_address}",
                 f"--metrics-listen={self.metrics_address}",
                 f"--data-dir={self.folder / 'data'}", f"--pool={self._pool}",
                 f"--capacity={self._capacity}", *self._options],
                stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self._wait_until_ready()

    def _wait_until_ready(self):
        deadline = time.monotonic() + self._start_seconds
        output = b""
        stdout = self._process.stdout
        os.set_blocking(stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not READY.search(output):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not ready in time; {self.log()}")
                if selector.select(left):
                    part = stdout.read()
                    if part == b"":
                        raise RuntimeError(f"it ended; {self.log()}")
                    output += part or b""
        found = READY.search(output)
        self.data_address, self.admin_address, self.metrics_address = (
            address.decode() for address in found.groups())

    def log(self):
        """The end of what it wrote to stderr."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self):
        """SIGTERM; returns the exit code. Past its time, kill and raise."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        self._process.kill()
        self._wait()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def _wait(self):
        code = self._process.wait(self._stop_seconds)
        self._process.stdout.close()
        self._process = None
        return code

    def close(self):
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
