#!/usr/bin/env python3
"""Runs the load scenarios against Causeway, the floor and the peers, and prints the figures.

Rounds are interleaved (A B C, B C A, …), every round starts fresh processes, the server has one
processor and the load the other. A ratio is the median over the rounds of one server's processor time
per message to the floor's in the same round. Targets are shown; nothing is judged.
"""

import argparse
import ctypes
import dataclasses
import functools
import json
import os
import pathlib
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import report
from cases import KIB64, SCENARIOS

HERE = pathlib.Path(__file__).resolve().parent
SERVER_START_SECONDS = 10
SERVER_STOP_SECONDS = 10
LOAD_SPARE_SECONDS = 90
FAILURES_MAX = 2
PR_SET_PDEATHSIG = 1
UDP_MODES = {"udp": "echo", "udp_room": "room", "udp_idle": "idle"}
TLS_VERSIONS = {"mbedTLS 2": "1.2", "mbedTLS 3": "1.3"}


class Failure(Exception):
    """A measurement that did not come about; the text says why."""


class Children:
    """The processes this runner has started. Only these are ever signalled."""

    def __init__(self):
        self.running = []

    def start(self, argv, cpu, **streams):
        def before_exec():
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        child = subprocess.Popen([str(word) for word in argv], preexec_fn=before_exec, **streams)
        self.running.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(SERVER_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(SERVER_STOP_SECONDS)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()
        if child in self.running:
            self.running.remove(child)

    def stop_all(self):
        for child in list(self.running):
            self.stop(child)


@dataclasses.dataclass(frozen=True)
class Configured:
    """A server that takes a file with its port in it, and does not say when it listens."""

    program: str
    option: str
    template: pathlib.Path

    def prepare(self, folder):
        """Writes the file. Returns the command and a port that was free just now."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        text = self.template.read_text().replace("@port@", str(port)).replace("@folder@", folder)
        path = pathlib.Path(folder) / self.template.stem
        path.write_text(text)
        (pathlib.Path(folder) / "hello.txt").write_text("Hello, world!")
        os.chmod(folder, 0o755)  # started by root, some servers become another user
        return [self.program, self.option, path], port


class Server:
    """One server process, from the moment it listens to its end."""

    def __init__(self, bench, argv):
        self.bench = bench
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        self.folder = tempfile.TemporaryDirectory()
        self.port = None
        if isinstance(argv, Configured):
            argv, self.port = argv.prepare(self.folder.name)
        self.argv = [str(word).replace("@folder@", self.folder.name) for word in argv]
        self.child = bench.children.start(self.argv, bench.server_cpu, stdin=subprocess.DEVNULL,
                                          stdout=self.out, stderr=self.err)

    def __enter__(self):
        try:
            if self.port is None:
                self.port = self.wait_for_port()
            else:
                self.wait_for_accept()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.bench.children.stop(self.child)
        self.out.close()
        self.err.close()
        self.folder.cleanup()

    @staticmethod
    def text(stream):
        return os.pread(stream.fileno(), 1 << 16, 0).decode(errors="replace")

    def wait_for_port(self):
        deadline = time.monotonic() + SERVER_START_SECONDS
        while time.monotonic() < deadline:
            for line in self.text(self.out).splitlines(keepends=True):
                if line.startswith("listening on ") and line.endswith("\n"):
                    return int(line.rsplit(":", 1)[1])
            if self.child.poll() is not None:
                raise Failure(f"server ended with status {self.child.returncode}{self.complaint()}")
            time.sleep(0.01)
        raise Failure(f"server does not say where it listens{self.complaint()}")

    def wait_for_accept(self):
        deadline = time.monotonic() + SERVER_START_SECONDS
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise Failure(f"server ended with status {self.child.returncode}{self.complaint()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise Failure(f"server does not listen{self.complaint()}")

    def complaint(self):
        lines = self.text(self.err).strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def pss_bytes(self):
        text = pathlib.Path(f"/proc/{self.child.pid}/smaps_rollup").read_text()
        for line in text.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise Failure("no Pss in smaps_rollup")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))


class Lines:
    """Lines of a pipe, each waited for with a limit."""

    def __init__(self, stream):
        self.fd = stream.fileno()
        self.rest = b""

    def next(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.fd, 4096) if ready else b""
            if not data:
                raise Failure("load ended early" if ready else "load says nothing")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.children = Children()
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = (cpus[-1], cpus[0]) if len(cpus) > 1 else (None, None)
        self.keys = tempfile.TemporaryDirectory()
        self.notes = []
        self.done = 0
        self.total = 0

    def program(self, name):
        return self.build / "bench" / name

    def servers(self, case):
        """Name → command, for the servers that are there and take part in this case."""
        if case.mode in UDP_MODES:
            return self.udp_servers(case)
        if case.tls:
            return self.tls_servers(case)
        if case.request:
            return self.http_servers(case)
        if case.path:
            return self.websocket_servers(case)
        if case.mode == "rooms":
            found = {"causeway": [self.program("room_server")],
                     "floor": [self.program("floor_room"), "--port", 0]}
        else:
            found = {"causeway": self.echo_argv(case), "floor": [self.program("floor"), "--port", 0]}
        if self.options.control:
            found["floor again"] = found["floor"]
        if self.options.peers and case.peers:
            found["libuv"] = [self.program("libuv_echo"), "--port", 0]
            found["bufferevent"] = [self.program("bufferevent_echo"), "--port", 0]
            found["node"] = [shutil.which("node") or "node", HERE / "peers/node_echo.js", "--port", 0]
        return self.those_there(found)

    def tls_servers(self, case):
        """The same for TLS: its floor is a bare loop over mbedTLS, the framework's own library."""
        if self.tls_version() < case.tls:
            self.note(f"skipped: TLS {case.tls} ({self.tls_library()} has none)")
            return {}
        cert, key = self.certificate()
        own = ["--port", 0, "--cert", cert, "--key", key]
        found = {"causeway": self.echo_argv(case) + ["--tls-cert", cert, "--tls-key", key],
                 "floor": [self.program("floor_tls")] + own}
        if self.options.control:
            found["floor again"] = found["floor"]
        found["openssl"] = [self.program("floor_openssl")] + own
        if self.options.peers and case.peers:
            found["node"] = [shutil.which("node") or "node", HERE / "peers/node_tls_echo.js"] + own
        return self.those_there(found)

    def http_servers(self, case):
        """Servers that all answer `Hello, world!`; the floor with the very bytes of ours."""
        own = [self.program("http_server")]
        found = {"causeway": own}
        if case.mode == "http":
            found["log + metrics"] = own + ["--metrics", "--log", "@folder@/access.log"]
        found["floor"] = [self.program("floor_http"), "--port", 0, *self.answer_of(own)]
        if self.options.control:
            found["floor again"] = found["floor"]
        if self.options.peers and case.peers:
            found["nginx"] = Configured(self.tool("nginx"), "-c", HERE / "peers/nginx.conf.in")
            found["h2o"] = Configured(self.tool("h2o"), "-c", HERE / "peers/h2o.conf.in")
            found["evhttp"] = [self.program("evhttp_hello"), "--port", 0]
            found["microhttpd"] = [self.program("microhttpd_hello"), "--port", 0]
            found["node"] = [self.tool("node"), HERE / "peers/node_hello.js", "--port", 0]
            found["bun"] = [self.tool("bun"), HERE / "peers/bun_hello.js", "--port", 0]
        return self.those_there(found)

    def websocket_servers(self, case):
        """Servers that echo on every path, compress on /z and say everything to everybody on /bc."""
        found = {"causeway": [self.program("ws_server")]}
        if not case.deflate:
            found["floor"] = [self.program("floor_ws"), "--port", 0]
            if self.options.control:
                found["floor again"] = found["floor"]
        if self.options.peers and case.peers:
            node = ["env", f"NODE_PATH={self.packages()}", self.tool("node")]
            found["bun"] = [self.tool("bun"), HERE / "peers/bun_ws.js", "--port", 0]
            found["libwebsockets"] = [self.program("libwebsockets_echo"), "--port", 0]
            if (self.packages() / "ws").exists():
                found["ws"] = [*node, HERE / "peers/node_ws.js", "--port", 0]
            else:
                self.note(f"skipped: ws ({self.packages() / 'ws'} is not there)")
        for peer in self.options.peer:
            name, command = peer.split("=", 1)
            found[name] = shlex.split(command)
        return self.those_there(found)

    def udp_servers(self, case):
        """Servers that echo datagrams; of DTLS there is ours alone, with and without."""
        own = [self.program("udp_server")]
        floor = [self.program("floor_udp"), "--port", 0]
        if case.tls:
            cert, key = self.certificate()
            return self.those_there({"causeway": own + ["--tls", cert, key], "plain": own})
        if case.mode == "udp_room":
            own, floor = own + ["--room"], floor + ["--room"]
        found = {"causeway": self.udp_echo_argv() if case.mode == "udp" else own}
        if case.mode != "udp_idle":
            found["floor"] = floor
            if self.options.control:
                found["floor again"] = floor
        beside = {"floor gso": floor + ["--gso"], "floor single": floor + ["--single"],
                  "no offload": own + ["--no-offload"], "stateless": own + ["--stateless"]}
        found.update((name, beside[name]) for name in case.also)
        if self.options.peers and case.peers:
            found["libuv"] = [self.program("libuv_udp_echo"), "--port", 0]
            found["node"] = [self.tool("node"), HERE / "peers/node_udp_echo.js", "--port", 0]
        return self.those_there(found)

    def udp_echo_argv(self):
        return [self.build / "examples/echo/echo", "--protocol", "udp", "--host", "127.0.0.1", "--port", 0,
                "--max-connections-per-ip", 10000, "--receive-buffer", 4 << 20]

    def packages(self):
        """Where peers/install_npm.sh puts what it installs."""
        return self.build / "bench/npm/node_modules"

    def tool(self, name):
        """Servers of the system may be where only root's PATH looks; Bun among npm's packages."""
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:{self.packages() / '.bin'}"
        return shutil.which(name, path=path) or name

    def answer_of(self, argv):
        """The option by which the floor answers as ours does."""
        path = pathlib.Path(self.keys.name) / "answer"
        if not path.exists() and shutil.which(str(argv[0])):
            with Server(self, argv) as server, \
                    socket.create_connection(("127.0.0.1", server.port), 10) as peer:
                peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"Hello, world!"):
                    piece = peer.recv(4096)
                    if not piece:
                        raise Failure(f"ours answered {answer!r}")
                    answer += piece
                path.write_bytes(answer)
        return ["--answer", path] if path.exists() else []

    def echo_argv(self, case):
        limit = max(10000, case.connections + 100)
        return [self.build / "examples/echo/echo", "--protocol", case.protocol,
                "--host", "127.0.0.1", "--port", 0, "--max-connections", limit,
                "--max-connections-per-ip", limit, "--max-frame-size", KIB64]

    def those_there(self, found):
        def program(argv):
            return argv.program if isinstance(argv, Configured) else argv[0]

        return {name: argv for name, argv in found.items() if self.is_there(name, program(argv))}

    @functools.lru_cache(maxsize=None)
    def tls_library(self):
        """The library in this build, by the floor's word."""
        floor = self.program("floor_tls")
        if not floor.exists():
            return ""
        return subprocess.run([floor, "--library"], timeout=30, capture_output=True, text=True,
                              check=False).stdout.strip()

    def tls_version(self):
        return next((version for name, version in TLS_VERSIONS.items()
                     if self.tls_library().startswith(name)), "")

    def certificate(self):
        """An ECDSA certificate that lives as long as this run."""
        cert, key = (pathlib.Path(self.keys.name) / name for name in ("cert.pem", "key.pem"))
        if not cert.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                            "-days", "7", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                           check=True, timeout=30, capture_output=True)
        return cert, key

    def is_there(self, name, path):
        if shutil.which(str(path)):
            return True
        where = os.path.relpath(path, self.build) if os.path.isabs(path) else path
        self.note(f"skipped: {name} ({where} is not there)")
        return False

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            print(text, file=sys.stderr, flush=True)

    def udp_load_argv(self, case, server):
        argv = [self.program("load_udp"), "--mode", UDP_MODES[case.mode], "--port", server.port]
        argv += ["--sockets", case.sockets or case.connections, "--depth", case.depth, "--size", case.size]
        argv += ["--peers", case.connections] if case.mode == "udp_idle" else []
        argv += ["--seconds", self.options.seconds, "--warmup", self.options.warmup]
        argv += ["--dtls"] if "--tls" in server.argv else []
        return argv + case.offload.split() + ["--server-pid", server.child.pid]

    def load_argv(self, case, server):
        if case.mode in UDP_MODES:
            return self.udp_load_argv(case, server)
        argv = [self.program("load"), "--mode", case.mode, "--port", server.port]
        argv += ["--connections", case.connections, "--depth", case.depth]
        argv += ["--request", case.request] if case.request else ["--size", case.size]
        argv += ["--ws", case.path] if case.path else []
        argv += ["--deflate"] if case.deflate else []
        argv += ["--wide"] if case.wide else []
        argv += ["--seconds", self.options.seconds, "--warmup", self.options.warmup]
        if case.tls:
            argv += ["--tls", "--tls-max", case.tls]
        if case.resume:
            argv += ["--resume"]
        return argv + ["--server-pid", server.child.pid]

    def run_load(self, case, server):
        child = self.children.start(self.load_argv(case, server), self.load_cpu,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
        limit = 2 * (self.options.seconds + self.options.warmup) + LOAD_SPARE_SECONDS
        try:
            out, err = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"load did not end within {limit:.0f} s") from None
        finally:
            self.children.stop(child)
        if child.returncode != 0:
            lines = err.decode(errors="replace").strip().splitlines()
            raise Failure(lines[0] if lines else f"load ended with status {child.returncode}")
        return json.loads(out)

    def run_idle(self, case, server):
        child = self.children.start(self.load_argv(case, server), self.load_cpu,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        lines = Lines(child.stdout)
        at_start = server.descriptors()
        pss = {"start": server.pss_bytes()}
        try:
            for step in ("opened", "closed", "reopened"):
                lines.next(LOAD_SPARE_SECONDS)
                self.settle(server, at_start if step == "closed" else None)
                pss[step] = server.pss_bytes()
                if step != "reopened":
                    child.stdin.write(b"\n")
                    child.stdin.flush()
            child.stdin.close()
            lines.next(LOAD_SPARE_SECONDS)
            result = json.loads(lines.next(LOAD_SPARE_SECONDS))
        finally:
            self.children.stop(child)
        for step in ("opened", "closed", "reopened"):
            result[f"bytes_{step}"] = (pss[step] - pss["start"]) / case.connections
        return result

    def run_udp_idle(self, case, server):
        """Peers do not close: they speak, and then speak again."""
        child = self.children.start(self.load_argv(case, server), self.load_cpu,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        lines = Lines(child.stdout)
        pss = {"start": server.pss_bytes()}
        try:
            for step in ("opened", "reopened"):
                lines.next(LOAD_SPARE_SECONDS)
                self.settle(server, None)
                pss[step] = server.pss_bytes()
                if step == "opened":
                    child.stdin.write(b"\n")
                    child.stdin.flush()
            child.stdin.close()
            result = json.loads(lines.next(LOAD_SPARE_SECONDS))
        finally:
            self.children.stop(child)
        for step in ("opened", "reopened"):
            result[f"bytes_{step}"] = (pss[step] - pss["start"]) / case.connections
        return result

    @staticmethod
    def settle(server, descriptors):
        """Lets the server finish what the load has done; after closing, until it has closed too."""
        deadline = time.monotonic() + 10
        time.sleep(0.3)
        while descriptors is not None and server.descriptors() > descriptors:
            if time.monotonic() > deadline:
                raise Failure("server keeps descriptors of closed connections")
            time.sleep(0.05)

    def run_once(self, case, name, argv):
        self.done += 1
        head = f"[{self.done}/{self.total}] {case.scenario}: {case.label}: {name}"
        try:
            with Server(self, argv) as server:
                run = {"idle": self.run_idle, "udp_idle": self.run_udp_idle}.get(case.mode, self.run_load)
                result = run(case, server)
            if not result["messages"]:
                raise Failure("not one message in the measured time")
            if case.tls and "tls" in result and not result["tls"].startswith(f"TLSv{case.tls}"):
                raise Failure(f"spoke {result['tls']}")
        except (Failure, OSError, ValueError) as error:
            print(f"{head}: failed: {error}", file=sys.stderr, flush=True)
            return {"failed": str(error)}
        result["value"] = report.value_of(case, result)
        print(f"{head}: {report.value_text(case, result['value'])}", file=sys.stderr, flush=True)
        return result

    def run_round(self, case, number, servers, rounds):
        names = list(servers)
        shift = number % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            failures = sum("failed" in result for result in rounds[name])
            if failures >= FAILURES_MAX:
                self.done += 1
                continue
            rounds[name].append(self.run_once(case, name, servers[name]))

    def run_scenario(self, cases, rows):
        """Round by round over all its cases: a slow drift of the machine then meets all alike."""
        servers = [self.servers(case) for case in cases]
        rounds = [{name: [] for name in found} for found in servers]
        try:
            for number in range(self.rounds(cases[0])):
                for case, found, results in zip(cases, servers, rounds):
                    self.run_round(case, number, found, results)
        finally:
            for case, results in zip(cases, rounds):
                report.add_rows(rows, case, results)

    def rounds(self, case):
        """Memory hardly varies: two rounds show it."""
        few = case.mode in ("idle", "udp_idle")
        return min(2, self.options.rounds) if few else self.options.rounds

    def run(self, scenarios, rows):
        self.total = sum(len(self.servers(case)) * self.rounds(case)
                         for cases in scenarios for case in cases)
        for cases in scenarios:
            self.run_scenario(cases, rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", metavar="scenario",
                        help=f"{', '.join(SCENARIOS)}; all of them when none is named")
    parser.add_argument("--build", default="build/release", help="build folder (%(default)s)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (7; quick: 3)")
    parser.add_argument("--seconds", type=float, help="measured time per run (2; quick: 1)")
    parser.add_argument("--warmup", type=float, help="time before it (0.5; quick: 0.3)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True,
                        help="measure libuv, bufferevents, Node, nginx and others too")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="of WebSocket: measure this server too; it says `listening on ws://…:PORT` and "
                             "serves as those in peers do")
    parser.add_argument("--control", action="store_true",
                        help="measure the floor twice: its ratio to itself is the noise")
    parser.add_argument("--out", help="folder for results (BUILD/bench/results)")
    options = parser.parse_args()
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    quick = {"rounds": 3, "seconds": 1.0, "warmup": 0.3}
    full = {"rounds": 7, "seconds": 2.0, "warmup": 0.5}
    for name, value in (quick if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if any("=" not in peer for peer in options.peer):
        parser.error("--peer takes NAME=COMMAND")
    if options.rounds < 1 or options.seconds <= 0 or options.warmup < 0:
        parser.error("rounds and seconds must be above 0")
    options.everything = not options.scenario
    options.scenario = options.scenario or list(SCENARIOS)
    options.out = pathlib.Path(options.out or pathlib.Path(options.build) / "bench/results")
    return options


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    options = parse()
    signal.signal(signal.SIGTERM, interrupt)
    bench = Bench(options)
    for name in ("load", "floor", "floor_room", "floor_tls", "floor_http", "floor_ws", "floor_udp", "load_udp"):
        if not bench.program(name).exists():
            sys.exit(f"run.py: {bench.program(name)} is not there; build the target `bench`")
    if bench.server_cpu is None:
        bench.note("one processor only: server and load share it, and the figures suffer")
    about = report.about(HERE.parent, bench.build)
    about["tls_library"] = bench.tls_library()
    for warning in about["warnings"]:
        bench.note(warning)
    scenarios = [SCENARIOS[name] for name in dict.fromkeys(options.scenario)]
    rows = []
    status = 0
    try:
        bench.run(scenarios, rows)
    except KeyboardInterrupt:
        bench.note("interrupted: what follows is incomplete")
        status = 130
    finally:
        bench.children.stop_all()
        bench.keys.cleanup()
    report.finish(rows, about, bench.notes, options)
    return status


if __name__ == "__main__":
    sys.exit(main())
