#!/usr/bin/python3
"""farlua as a command: its options, and that scripts run as with lua.

    farlua_test.py FARLUA FARSWAP_SERVER INDEX_LUA
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

FARLUA, SERVER, INDEX = (os.path.abspath(path) for path in sys.argv[1:4])
MIB = 1 << 20


def run(*arguments, script=None, server=SERVER, timeout=120):
    """Runs farlua; `script` is the text of one, its path the last option."""
    environment = dict(os.environ, FARSWAP_SERVER=server)
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as folder:
        arguments = list(arguments)
        if script is not None:
            path = pathlib.Path(folder) / "script.lua"
            path.write_text(script)
            at = arguments.index("SCRIPT") if "SCRIPT" in arguments else len(
                arguments)
            arguments[at:at + 1] = [str(path)]
        return subprocess.run(
            [FARLUA, *arguments], capture_output=True, text=True,
            timeout=timeout, env=environment, check=False)


def private_servers():
    return [path.name for path in pathlib.Path("/proc").glob("[0-9]*")
            if _command(path).startswith(SERVER)]


def _command(process):
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


class WrongOptions(unittest.TestCase):
    """One line that says what is wrong, exit 2, nothing started."""

    def refused(self, *arguments, says):
        # No server to be found: had it been sought, it would be exit 1.
        result = run(*arguments, server="/nonexistent")
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("farlua: "), result.stderr)
        self.assertIn(says, result.stderr)

    def test_metrics_listen(self):
        for address in ("9465", "unix:/x", "host", "a:1,b:2"):
            self.refused(f"--metrics-listen={address}", "x.lua",
                         says="--metrics-listen")
        self.refused("--plain", "--metrics-listen=127.0.0.1:0", "x.lua",
                     says="--metrics-listen")

    def test_sizes(self):
        for option in ("--local-memory", "--heap"):
            for size in ("1.5GB", "-3", "0", "12MB", "x", "", "1MiB1"):
                self.refused(f"{option}={size}", "x.lua", says=option)
        self.refused("--local-memory=7M", "x.lua", says="8MiB")
        self.refused("--heap=1M", "x.lua", says="2MiB")

    def test_servers(self):
        for servers in ("nowhere", "a:1,b:2", ":1", "unix:", "a:99999", ""):
            self.refused(f"--servers={servers}", "x.lua", says="--servers")

    def test_durations(self):
        for duration in ("5", "-1s", "0s", "1.5s", "99ms", ""):
            self.refused(f"--fault-deadline={duration}", "x.lua",
                         says="--fault-deadline")

    def test_commands(self):
        self.refused(says="SCRIPT")
        self.refused("--bogus", "x.lua", says="--bogus")
        self.refused("--plain", "--local-memory=64M", "x.lua",
                     says="--plain")
        self.refused("--stats=/nonexistent/file", "x.lua", says="--stats")


class Scripts(unittest.TestCase):
    """With plain memory: what does not depend on where the heap is."""

    def test_arguments(self):
        result = run("--plain", "SCRIPT", "a", "--plain",
                     script="print(#arg, arg[1], arg[2], ...)")
        self.assertEqual(result.stdout, "2\ta\t--plain\ta\t--plain\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_errors_have_a_traceback(self):
        result = run("--plain", script="local function f() error('boom') end "
                     "f()")
        self.assertEqual(result.returncode, 1)
        self.assertIn("boom", result.stderr)
        self.assertIn("stack traceback:", result.stderr)

    def test_missing_script(self):
        result = run("--plain", "/nonexistent.lua")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nonexistent.lua", result.stderr)

    def test_exit_status(self):
        self.assertEqual(run("--plain", script="os.exit(7)").returncode, 7)
        self.assertEqual(run("--plain", script="os.exit(false)").returncode, 1)

    def test_warnings(self):
        result = run("--plain", script="""
            warn("unseen") warn("@on") warn("a", "b") warn("@off")
            warn("unseen") warn("@on")
            setmetatable({}, {__gc = function() error("boom", 0) end})""")
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertEqual(result.stderr, "Lua warning: ab\n"
                         "Lua warning: error in __gc (boom)\n")

    def test_out_of_heap_is_lua_s_error(self):
        result = run("--plain", "--heap=16M", script="""
            local ok, message = pcall(function()
              local t = {}
              for i = 1, 1e8 do t[i] = ("x"):rep(100) .. i end
            end)
            print(ok, message)
            collectgarbage()
            print(#("y"):rep(1000000))""")
        self.assertEqual(result.stdout,
                         "false\tnot enough memory\n1000000\n", result)


class Ends(unittest.TestCase):
    """What is done at the end, and what not: as `lua` does."""

    HEAP = ["--plain"]
    # A file that is neither closed nor flushed, one that a finalizer writes,
    # one that a to-be-closed variable writes.
    SCRIPT = """
        local folder, ending = ...
        local function write(name)
          local file = assert(io.open(folder .. "/" .. name, "w"))
          file:setvbuf("full", 1 << 16)
          file:write(name)
          return file
        end
        open = write("open")
        finalized = setmetatable({}, {__gc = function() write("gc") end})
        local scoped <close> = setmetatable({}, {
          __close = function() write("close") end})
        assert(load(ending))()
        """

    def files(self, ending):
        """Runs SCRIPT; returns its exit code and the files it wrote."""
        with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as folder:
            result = run(*self.HEAP, "SCRIPT", folder, ending,
                         script=self.SCRIPT)
            written = {path.name: path.read_text()
                       for path in pathlib.Path(folder).iterdir()}
        self.assertTrue(all(name == text for name, text in written.items()),
                        written)
        return result.returncode, sorted(written)

    def test_at_its_end(self):
        self.assertEqual(self.files(""), (0, ["close", "gc", "open"]))

    def test_by_an_error(self):
        self.assertEqual(self.files("error('x')"),
                         (1, ["close", "gc", "open"]))

    def test_by_exit_that_closes(self):
        self.assertEqual(self.files("os.exit(5, true)"),
                         (5, ["close", "gc", "open"]))

    def test_by_exit_that_does_not_close(self):
        self.assertEqual(self.files("os.exit(5)"), (5, ["open"]))


class FarEnds(Ends):
    """The same with a private server."""

    HEAP = ["--local-memory=8M"]


class Far(unittest.TestCase):
    """With a private server."""

    def test_finalizers_see_what_was_far(self):
        # Twice the local memory. Who was made first is finalized last.
        with tempfile.NamedTemporaryFile(prefix="fs-") as stats:
            result = run("--local-memory=8M", f"--stats={stats.name}",
                         script="""
                local count, sum, expected = 0, 0, 0
                first = setmetatable({}, {__gc = function()
                  print(count, sum == expected)
                end})
                local meta = {__gc = function(object)
                  count = count + 1
                  for _, s in ipairs(object) do sum = sum + #s end
                end}
                all = {}
                for i = 1, 250 do
                  local object = setmetatable({}, meta)
                  for j = 1, 64 do
                    object[j] = ("x"):rep(1000) .. i .. "." .. j
                    expected = expected + #object[j]
                  end
                  all[i] = object
                end""")
            counted = json.loads(pathlib.Path(stats.name).read_text())
        self.assertEqual((result.returncode, result.stdout),
                         (0, "250\ttrue\n"), result.stderr)
        self.assertGreater(counted["remote_peak_bytes"], 4 * MIB)
        self.assertEqual(counted["heap_bytes"], 0)

    def test_metrics_are_served_while_the_script_runs(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = f"127.0.0.1:{free.getsockname()[1]}"
        # The script fetches the page of its own process.
        result = run("--local-memory=8M", f"--metrics-listen={at}", script=f"""
            t = {{}}
            for i = 1, 1e5 do t[i] = ("x"):rep(100) .. i end
            local fetch = [[{sys.executable} -c 'import urllib.request as u
            print(u.urlopen("http://{at}/metrics").read().decode())']]
            local page = assert(io.popen((fetch:gsub("\\n *", ";")))):read("a")
            local faults = page:match("\\nfarswap_client_faults_total (%d+)")
            print(tonumber(faults) > 100)
            os.exit(true)""")
        self.assertEqual((result.returncode, result.stdout), (0, "true\n"),
                         result.stderr)

    def test_the_index_gives_the_same_answers(self):
        arguments = [INDEX, "--heap-mib=48", "--queries=200", "/usr/include"]
        plain = run("--plain", *arguments)
        self.assertEqual(plain.returncode, 0, plain.stderr)
        with tempfile.NamedTemporaryFile(prefix="fs-") as stats:
            far = run("--local-memory=24M", f"--stats={stats.name}",
                      *arguments, timeout=280)
            self.assertEqual(far.returncode, 0, far.stderr)
            counted = json.loads(pathlib.Path(stats.name).read_text())
        self.assertEqual(far.stdout, plain.stdout)
        self.assertGreater(far.stdout.count("\n"), 20)
        self.assertGreater(counted["heap_peak_bytes"], 40 * MIB)
        self.assertEqual(counted["local_limit_bytes"], 24 * MIB)
        self.assertLess(counted["resident_peak_bytes"], (25.2 + 32) * MIB)
        self.assertGreater(counted["remote_peak_bytes"], 16 * MIB)
        self.assertGreater(counted["refaults"], 0)
        self.assertGreater(counted["elapsed_seconds"], 0)
        self.assertEqual(len(counted["swpin"]), 10)

    def test_out_of_far_heap_is_lua_s_error(self):
        result = run("--local-memory=8M", "--heap=24M", script="""
            local t = {}
            for i = 1, 1e8 do t[i] = ("x"):rep(100) .. i end""")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not enough memory", result.stderr)

    def test_nothing_is_left(self):
        # Also where the script ends the process from inside.
        result = run("--local-memory=8M", script="os.exit(3)")
        self.assertEqual(result.returncode, 3, result.stderr)
        deadline = time.monotonic() + 20
        while private_servers() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(private_servers(), [])

    def test_no_server_to_start(self):
        result = run("--local-memory=8M", script="print(1)",
                     server="/nonexistent/server")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn("/nonexistent/server", result.stderr)


if __name__ == "__main__":
    if not os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        print("NOT TESTED: far heaps need /dev/userfaultfd; run as root")
        del Far, FarEnds
    unittest.main(argv=sys.argv[:1], verbosity=2)
