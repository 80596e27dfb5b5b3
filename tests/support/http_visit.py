"""Python's http.client, for tests of our server: one connection, many requests. Prints `all is well`.

python3 http_visit.py PORT [CA]
"""
import http.client
import ssl
import sys

PORT = int(sys.argv[1])
PATTERN = bytes((i * 31 + (i >> 8) * 7) & 255 for i in range(65536))


def connect():
    if len(sys.argv) > 2:
        context = ssl.create_default_context(cafile=sys.argv[2])
        return http.client.HTTPSConnection("localhost", PORT, timeout=20, context=context)
    return http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)


def ask(conn, method, path, status, body=None, expected=None, **fields):
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    conn.request(method, path, body=body, headers=named)
    answer = conn.getresponse()
    got = answer.read()
    assert answer.status == status, (method, path, answer.status, got[:200])
    assert expected is None or got == expected, (method, path, got[:200])
    return answer


def pieces(data, size):
    for at in range(0, len(data), size):
        yield data[at:at + size]


conn = connect()
conn.connect()
local = conn.sock.getsockname()
for n in range(50):
    ask(conn, "GET", "/number/%d" % n, 200, expected=b"%d" % n)
ask(conn, "HEAD", "/hello", 200, expected=b"")
ask(conn, "POST", "/echo", 200, body=PATTERN * 8, expected=PATTERN * 8)
ask(conn, "PUT", "/echo", 200, body=b"", expected=b"")
ask(conn, "POST", "/stream", 200, body=pieces(PATTERN, 1000), expected=PATTERN)  # chunked both ways
ask(conn, "POST", "/count", 200, body=pieces(PATTERN * 100, 100000), expected=b"6553600")
ask(conn, "GET", "/chunks/300000", 200, expected=(PATTERN * 5)[:300000])
ask(conn, "GET", "/pattern/0", 200, expected=b"")
ask(conn, "GET", "/nowhere", 404)
ask(conn, "OPTIONS", "/hello", 204)
ask(conn, "GET", "/error/503", 503)
ask(conn, "PURGE", "/echo", 200, body=b"own", expected=b"own")
answer = ask(conn, "GET", "/files/page.txt", 200, expected=b"a page\n")
etag = answer.getheader("ETag")
ask(conn, "GET", "/files/page.txt", 304, expected=b"", If_None_Match=etag)
ask(conn, "GET", "/files/page.txt", 206, expected=b"page", Range="bytes=2-5")
ask(conn, "GET", "/files/page.txt", 416, Range="bytes=100-")
assert conn.sock.getsockname() == local, "another connection"
conn.close()

conn = connect()  # a body that nobody wants
try:
    ask(conn, "POST", "/small", 413, body=PATTERN)
except (BrokenPipeError, ConnectionResetError):
    pass
conn.close()

conn = connect()
conn._http_vsn, conn._http_vsn_str = 10, "HTTP/1.0"
answer = ask(conn, "GET", "/chunks/70000", 200, expected=(PATTERN * 2)[:70000])
assert answer.getheader("Transfer-Encoding") is None
conn.close()
print("all is well")
