"""A client of one Redis server, by its Unix socket; and what to fill it with.

Not thread-safe. Every wait has a bound.
"""

import hashlib
import socket
import time

CONNECT_SECONDS = 60
ANSWER_SECONDS = 600


class Redis:
    """redis("GET", "key") returns the answer; errors are answers, too."""

    def __init__(self, path):
        """Waits until the server listens there."""
        until = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(ANSWER_SECONDS)
                self._socket.connect(path)
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        self._file = self._socket.makefile("rb")

    def close(self):
        self._file.close()
        self._socket.close()

    def _read(self):
        line = self._file.readline()
        if not line:
            raise ConnectionError("the server has ended")
        if line[:1] == b"$":
            size = int(line[1:])
            return None if size < 0 else self._file.read(size + 2)[:-2]
        if line[:1] == b"*":
            return [self._read() for _ in range(int(line[1:]))]
        return line.strip()

    def send(self, commands):
        """Sends them in one go, and awaits nothing."""
        words = []
        for command in commands:
            words.append(b"*%d\r\n" % len(command))
            for word in command:
                word = word if isinstance(word, bytes) else word.encode()
                words.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self._socket.sendall(b"".join(words))

    def all(self, commands):
        """Sends them in one go, and returns the answers."""
        self.send(commands)
        return [self._read() for _ in commands]

    def __call__(self, *command):
        return self.all([command])[0]


class Values:
    """`count` of them, each of `size` bytes, its own, and incompressible. Their
    keys are those that redis-benchmark asks for."""

    BATCH = 64

    def __init__(self, count, size):
        self.count = count
        self.size = size

    @staticmethod
    def key(i):
        return f"key:{i:012}"

    def value(self, i):
        return hashlib.shake_128(b"%d" % i).digest(self.size)

    def batches(self):
        for first in range(0, self.count, self.BATCH):
            yield range(first, min(first + self.BATCH, self.count))

    def load(self, redis, halfway=lambda: None):
        """Returns the keys of those that were not taken."""
        refused = []
        for batch in self.batches():
            if batch.start == self.count // self.BATCH // 2 * self.BATCH:
                halfway()
            answers = redis.all([("SET", self.key(i), self.value(i))
                                 for i in batch])
            refused += [self.key(i) for i, answer in zip(batch, answers)
                        if answer != b"+OK"]
        return refused

    def verify(self, redis):
        """Reads every one; returns the keys of those that are not right."""
        wrong = []
        for batch in self.batches():
            found = redis.all([("GET", self.key(i)) for i in batch])
            wrong += [self.key(i) for i, got in zip(batch, found)
                      if got != self.value(i)]
        return wrong
