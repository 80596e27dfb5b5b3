#!/usr/bin/env python3
"""Counts what a message costs on the wire, by the kernel's own count of a loopback where nobody else is.

    python3 bench/wire_bytes.py build/release/examples/echo/echo

Each message is sent when the echo of the one before has come, so that TCP's acknowledgements ride on the answers. Printed
is the mean of both ways, payload left out: everything from IP's header on (IPv4; Ethernet has 18 bytes more)."""
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAYLOAD, COUNT = 32, 1000


def counted():
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            fields = line.split(":")[1].split()
            return int(fields[8]), int(fields[9])
    raise SystemExit("there is no loopback")


def receive(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise SystemExit("the echo has ended")
        data += part


def stream(port, before, after, secure=None):
    """A function that sends one message and waits for its echo. before, after: lengths of what stands around it."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = secure
        sock = context.wrap_socket(sock)
    if after == "websocket":
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)

    def exchange():
        sock.sendall(before + b"x" * PAYLOAD)
        receive(sock, PAYLOAD + (2 if after == "websocket" else len(before)))
    return exchange


def datagrams(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))

    def exchange():
        sock.send(b"x" * PAYLOAD)
        sock.recv(65536)
    return exchange


def dtls(port):
    client = subprocess.Popen(["openssl", "s_client", "-dtls1_2", "-quiet", "-connect", f"127.0.0.1:{port}"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def exchange():
        client.stdin.write(b"x" * (PAYLOAD - 1) + b"\n")
        client.stdin.flush()
        receive_file(client.stdout)
    return exchange


def receive_file(file):
    data = b""
    while len(data) < PAYLOAD:
        data += os.read(file.fileno(), PAYLOAD - len(data))


def run(echo, folder, words, connect):
    options = ["--protocol", words[0], "--port", "0", "--quiet"]
    if "tls" in words:
        options += ["--tls-cert", f"{folder}/server.pem", "--tls-key", f"{folder}/server.key"]
    server = subprocess.Popen([echo, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = server.stdout.readline()
        if not line:
            return None
        exchange = connect(int(line.rsplit(":", 1)[1]))
        for _ in range(50):
            exchange()
        bytes_before, packets_before = counted()
        for _ in range(COUNT):
            exchange()
        time.sleep(0.3)
        total, packets = (now - then for now, then in zip(counted(), (bytes_before, packets_before)))
        return total / COUNT / 2 - PAYLOAD, packets / COUNT / 2
    finally:
        server.terminate()
        server.wait()


MASKED = bytes([0x82, 0x80 | PAYLOAD, 0, 0, 0, 0])
LENGTH = PAYLOAD.to_bytes(4, "big")
CASES = [
    ("UDP", ["udp"], datagrams),
    ("DTLS 1.2", ["udp", "tls"], dtls),
    ("TCP, bytes", ["tcp"], lambda port: stream(port, b"", b"")),
    ("TCP, framed", ["framed"], lambda port: stream(port, LENGTH, b"")),
    ("TLS 1.2, framed", ["framed", "tls"], lambda port: stream(port, LENGTH, b"", ssl.TLSVersion.TLSv1_2)),
    ("WebSocket", ["websocket"], lambda port: stream(port, MASKED, "websocket")),
    ("WebSocket over TLS 1.2", ["websocket", "tls"],
     lambda port: stream(port, MASKED, "websocket", ssl.TLSVersion.TLSv1_2)),
]


def main():
    if "CW_OWN_NETWORK" not in os.environ:
        os.environ["CW_OWN_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder = tempfile.mkdtemp()
    subprocess.run([ROOT / "tools/certs.sh", "--quiet", folder], check=True)
    for name, words, connect in CASES:
        found = run(sys.argv[1], folder, words, connect)
        print(f"{name:24}", "not spoken" if found is None else f"{found[0]:6.1f} bytes, {found[1]:.2f} packets")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
