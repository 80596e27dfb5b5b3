"""A TLS client by Python's ssl, for tests. Prints NAME=VALUE lines, each as soon as it is known.

tls_peer.py MODE PORT CA [CERT KEY]   MODE: echo, twice, bye, starttls, bulk, injected, refused
"""
import hashlib
import os
import select
import socket
import ssl
import sys

DEADLINE_S = 20
MIB = 1 << 20


def say(name, value):
    print(f"{name}={value}", flush=True)


def receive(conn, length):
    data = bytearray()
    while len(data) < length:
        piece = conn.recv(65536)
        if not piece:
            raise EOFError(f"the end after {len(data)} of {length} bytes")
        data += piece
    return bytes(data)


def dial(port):
    return socket.create_connection(("127.0.0.1", port), DEADLINE_S)


def secure(context, plain, session=None):
    return context.wrap_socket(plain, server_hostname="localhost", session=session,
                               suppress_ragged_eofs=False)


def tell(conn):
    certificate = conn.getpeercert()
    say("version", conn.version())
    say("cipher", conn.cipher()[0])
    say("alpn", conn.selected_alpn_protocol() or "")
    say("reused", conn.session_reused)
    say("cn", dict(pair[0] for pair in certificate["subject"])["commonName"])
    say("fingerprint", hashlib.sha256(conn.getpeercert(True)).hexdigest())


def attempt(call):
    """What it returns, or None where it has to wait."""
    try:
        return call()
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def echo(conn, length):
    """Sends and receives by turns, as neither side's buffers hold so much; one thread, as OpenSSL wants it."""
    data = os.urandom(length)
    got = bytearray()
    sent = 0
    conn.setblocking(False)
    while len(got) < length:
        while sent < length and (taken := attempt(lambda: conn.send(data[sent:sent + 65536]))):
            sent += taken
        piece = attempt(lambda: conn.recv(65536))
        if piece == b"":
            raise EOFError(f"the end after {len(got)} of {length} bytes")
        got += piece or b""
        if not piece and not conn.pending():
            if not any(select.select([conn], [conn] if sent < length else [], [], DEADLINE_S)):
                raise TimeoutError(f"nothing more after {len(got)} of {length} bytes")
    conn.settimeout(DEADLINE_S)
    say("echoed", length if got == data else "wrong")


def finish(conn):
    """Says close_notify and waits for the other side's."""
    conn.unwrap().close()
    say("ended", "in good order")


def run_echo(context, port):
    conn = secure(context, dial(port))
    tell(conn)
    echo(conn, MIB)
    finish(conn)


def run_twice(context, port):
    conn = secure(context, dial(port))
    echo(conn, 100)
    session = conn.session
    say("first", conn.session_reused)
    finish(conn)
    conn = secure(context, dial(port), session)
    echo(conn, 100)
    say("second", conn.session_reused)
    finish(conn)


def run_bye(context, port):
    """The server ends: an end without close_notify would raise ssl.SSLEOFError."""
    conn = secure(context, dial(port))
    conn.sendall(b"bye\n")
    say("left", len(conn.recv(100)))
    finish(conn)


def run_starttls(context, port):
    plain = dial(port)
    plain.sendall(b"in the clear\n")
    say("plain", receive(plain, 13).decode().strip())
    plain.sendall(b"STARTTLS\n")
    say("answer", receive(plain, 6).decode().strip())
    conn = secure(context, plain)
    tell(conn)
    echo_line(conn)
    finish(conn)


def run_bulk(context, port):
    """Much comes in the clear before the answer, and something encrypted at once behind the handshake."""
    plain = dial(port)
    plain.sendall(b"STARTTLS\n")
    data = b""
    while not data.endswith(b"ready\n"):
        piece = plain.recv(4096)
        if not piece:
            raise EOFError(f"the end after {len(data)} bytes")
        data += piece
    say("lines", data.count(b"\n"))
    conn = secure(context, plain)
    say("behind", receive(conn, 7).decode().strip())
    echo_line(conn)
    finish(conn)


def echo_line(conn):
    conn.sendall(b"encrypted\n")
    say("echo", receive(conn, 10).decode().strip())


def run_injected(context, port):
    """Somebody in between adds a line behind the last one in the clear."""
    plain = dial(port)
    plain.sendall(b"STARTTLS\ninjected\n")
    data = b""
    try:
        while piece := plain.recv(4096):
            data += piece
    except ConnectionResetError:
        pass
    say("came", data)


def run_refused(context, port):
    try:
        conn = secure(context, dial(port))
        conn.recv(1)
        say("refused", "no")
    except OSError as error:
        say("refused", getattr(error, "reason", None) or type(error).__name__)


def main():
    mode, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=ca)
    if len(sys.argv) > 5:
        context.load_cert_chain(sys.argv[4], sys.argv[5])
    if mode == "echo":
        context.set_alpn_protocols(["causeway"])
    globals()[f"run_{mode}"](context, port)


main()
