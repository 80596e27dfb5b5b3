"""Connects over TLS again and again and says how often which certificate was shown: `server=12 next=3`.

    tls_visits.py PORT CA VISITS THREADS

Each visit is a full handshake and an echo. Whatever goes wrong ends it with status 1 and a line that says what."""

import collections
import socket
import ssl
import sys
import threading

port, ca, visits, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context(cafile=ca)
context.hostname_checks_common_name = False
lock = threading.Lock()
shown = collections.Counter()
wrong = []


def visit():
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(b"hello")
            if peer.recv(5) != b"hello":
                raise OSError("no echo")
            subject = dict(part[0] for part in peer.getpeercert()["subject"])
            peer.unwrap()
            return subject["commonName"]


def work(number):
    for _ in range(number, visits, count):
        if wrong:
            return
        try:
            name = visit()
        except OSError as error:
            wrong.append(error)
            return
        with lock:
            shown[name] += 1


threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if wrong:
    print("visit failed:", repr(wrong[0]))
    sys.exit(1)
print(*(f"{name}={shown[name]}" for name in sorted(shown)))
