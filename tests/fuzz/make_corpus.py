#!/usr/bin/env python3
"""Writes the corpus of the fuzz targets of framed, line, TLS and the HTTP router: inputs that are good, cut short, or just wrong."""
"""Writes the corpus of the fuzz targets: inputs that are good, cut short, or just wrong."""
import gzip
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
BODIES = [b"", b"!", b"hello", bytes(range(256)), b"0123456789" * 30]


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def framed_choice(framing=0, limit=0, stream=0, width=4, flags=0, offset=0, adjustment=0, cuts=6):
    return bytes([framing, limit, stream, width | flags, offset | (adjustment + 16) * 8, cuts])


def framed():
    def put(name, choice, frames):
        write("framed", name, choice + b"".join(frames))

    order = {0: ">", 0x10: "<"}
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}
    for width in (1, 2, 4, 8):
        for little, sign in order.items():
            short = [b for b in BODIES if len(b) < 256 ** width]
            frames = [struct.pack(sign + code[width], len(b)) + b for b in short]
            name = f"fixed-{width}-{'le' if little else 'be'}"
            put(name, framed_choice(width=width, flags=little), frames)
            put(name + "-pieces", framed_choice(width=width, flags=little, stream=3), frames)
    put("offset", framed_choice(width=2, offset=3), [b"abc" + struct.pack(">H", len(b)) + b for b in BODIES])
    put("kept", framed_choice(width=2, offset=3, flags=0x40),
        [b"abc" + struct.pack(">H", len(b)) + b for b in BODIES])
    put("with-header", framed_choice(flags=0x20), [struct.pack(">I", len(b) + 4) + b for b in BODIES])
    put("with-header-too-small", framed_choice(flags=0x20), [struct.pack(">I", 3)])
    put("adjusted", framed_choice(width=1, adjustment=2), [b"\3hello\0yo"])
    put("adjusted-below-zero", framed_choice(width=1, adjustment=-2), [b"\7hello\1"])
    put("empty-refused", framed_choice(framing=0x40 * 3), [b"\0\0\0\1!\0\0\0\0"])
    put("over-limit", framed_choice(limit=2), [b"\0\0\0\5hello\0\0\0\6"])
    put("largest", framed_choice(limit=7, width=8), [b"\xff" * 8])
    put("cut-header", framed_choice(), [b"\0\0\0\1!\0\0"])
    put("cut-body", framed_choice(), [b"\0\0\0\1!\0\0\0\5he"])
    put("ended", framed_choice(cuts=0x86), [b"\0\0\0\1!"])
    put("ended-in-header", framed_choice(cuts=0x86), [b"\0\0\0\1!\0\0"])
    put("ended-in-body", framed_choice(cuts=0x86), [b"\0\0\0\1!\0\0\0\5he"])
    put("ended-in-pieces", framed_choice(cuts=0x86, stream=1), [b"\0\0\0\5he"])
    for stream in (0, 3):
        end = "-pieces" if stream else ""
        put("varint" + end, framed_choice(framing=1, stream=stream), [varint(len(b)) + b for b in BODIES])
        put("netstring" + end, framed_choice(framing=2, stream=stream),
            [b"%d:%s," % (len(b), b) for b in BODIES])
    put("varint-long", framed_choice(framing=1), [b"\x85\0hello"])
    put("varint-overflow", framed_choice(framing=1, limit=7), [b"\xff" * 9 + b"\2"])
    put("varint-largest", framed_choice(framing=1, limit=7, stream=1), [b"\xff" * 9 + b"\1", b"hello"])
    put("netstring-zero", framed_choice(framing=2), [b"0:,05:hello,"])
    put("netstring-no-comma", framed_choice(framing=2), [b"5:hello;"])
    put("netstring-no-digit", framed_choice(framing=2), [b":hello,"])
    put("netstring-overflow", framed_choice(framing=2, limit=7, stream=1), [b"18446744073709551616:"])


def line():
    def put(name, delimiter, limit, text, cuts=6):
        write("line", name, bytes([delimiter, limit, cuts]) + text)

    ends = [b"\n", b"\n", b"\r\n", b";", b"aa", b"aab", b"abab", b"\r\n.\r\n"]
    for number, end in enumerate(ends):
        put(f"lines-{number}", number, 0, end.join([b"", b"!", b"hello", b"x" * 300, b""]))
        put(f"near-{number}", number, 5, end[:-1] + b"x" + end + end[:1] + end + end[:-1])
    put("carriage-returns", 0, 0, b"a\r\n\r\nb\r\r\nc\rd\n")
    put("at-limit", 0, 3, b"hello\r\nhello\n")
    put("over-limit", 0, 3, b"hello!\n")
    put("over-limit-by-return", 0, 3, b"hello\r!\n")
    put("open-end", 0, 0x40, b"hello\nwor", 0x86)
    put("open-end-refused", 0, 0, b"hello\nwor", 0x86)
    put("open-end-return", 0, 0x43, b"hello\r", 0x86)
    put("nothing", 0, 0, b"")
    put("zeros", 0, 0x80, bytes(20) + b"\n" + bytes(range(256)))


def record(kind, body, minor=3):
    return bytes([kind, 3, minor]) + struct.pack(">H", len(body)) + body


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def client_hello(groups=(29, 23), version=3):
    extensions = struct.pack(">HHH", 10, 2 + 2 * len(groups), 2 * len(groups))
    extensions += b"".join(struct.pack(">H", group) for group in groups)
    extensions += struct.pack(">HHH", 13, 4, 2) + b"\4\3"
    extensions += struct.pack(">HHHBH", 0, 14, 12, 0, 9) + b"localhost"
    ciphers = b"\x13\x01\xc0\x2b\xc0\x2f"
    body = bytes([3, version]) + bytes(range(32)) + b"\0" + struct.pack(">H", len(ciphers)) + ciphers + b"\1\0"
    return message(1, body + struct.pack(">H", len(extensions)) + extensions)


def server_hello(extensions=b""):
    return message(2, b"\3\3" + bytes(32) + b"\x20" + bytes(32) + b"\xc0\x2b\0"
                   + struct.pack(">H", len(extensions)) + extensions)


def tls_hello():
    def put(name, data):
        write("tls_hello", name, data)

    share = struct.pack(">HHHH", 51, 6, 29, 2) + b"ab"
    exchange = message(12, b"\3\0\x17\2pq")
    put("client", record(22, client_hello(), 1))
    put("server-1.3", record(22, server_hello(struct.pack(">HHH", 43, 2, 0x304) + share)))
    put("server-1.2", record(22, server_hello()) + record(22, message(11, bytes(3))) + record(22, exchange))
    put("one-record", record(22, server_hello() + exchange))
    put("resumed", record(22, server_hello()) + record(20, b"\1"))
    put("too-long", b"\x16\3\1\xff\xff")
    put("http", b"GET / HTTP/1.1\r\n\r\n")
    put("ssl2", b"\x80\x1c\1\0\2\0\3\0\0\0\x10" + bytes(20))
    put("alert", record(21, b"\2\x28"))


def tls_stream():
    def put(name, choice, data=b""):
        write("tls_stream", name, bytes(choice) + data)

    hello = record(22, client_hello(), 1)
    for piece in (0, 1, 7):
        put(f"hello-{piece}", [0, piece, 0, 0, 0, 0], hello)
    put("hello-split", [0, 0, 0, 0, 0, 0], b"".join(record(22, hello[5 + i:6 + i], 1) for i in range(len(hello) - 5)))
    put("hello-old", [0, 0, 0, 0, 0, 0], record(22, client_hello(version=1), 1))
    put("http", [0, 0, 0, 0, 0, 0], b"GET / HTTP/1.1\r\n\r\n")
    put("ssl2", [0, 0, 0, 0, 0, 0], b"\x80\x1c\1\0\2\0\3\0\0\0\x10" + bytes(20))
    put("too-long", [0, 0, 0, 0, 0, 0], b"\x16\3\1\xff\xff")
    put("empty", [0, 0, 0, 0, 0, 0], record(22, b"") * 50)
    put("warnings", [0, 0, 0, 0, 0, 0], record(21, b"\1\x5a") * 50)
    put("server-hello", [1, 0, 0, 0, 0, 0], record(22, server_hello()))
    put("server-alert", [1, 0, 0, 0, 0, 0], record(21, b"\2\x28"))
    put("server-nonsense", [1, 3, 0, 0, 0, 0], b"SSH-2.0-x\r\n")
    for role in (0, 1):
        who = "client" if role else "server"
        for version in (0, 1):
            name = f"{who}-{version}"
            put("good-" + name, [2 | role, 0, 0, 0, version, 5])
            put("cut-" + name, [10 | role, 0, 0, 0, version, 5])
            for place in (3, 9, 40, 100, 200, 300, 320, 400, 900, 1100):
                put(f"flip-{place}-{name}", [2 | role, 0, place >> 8, place & 255, version, 5], b"\1")
                put(f"gone-{place}-{name}", [6 | role, 0, place >> 8, place & 255, version, 5], b"\1\1")


def dtls():
    def put(name, choice, data=b""):
        write("dtls", name, bytes(choice) + data)

    def message(kind, body, number=0):
        size = len(body).to_bytes(3, "big")
        return bytes([kind]) + size + number.to_bytes(2, "big") + bytes(3) + size + body

    def datagram_record(kind, body, epoch=0, number=0):
        return bytes([kind, 0xfe, 0xfd]) + epoch.to_bytes(2, "big") + number.to_bytes(6, "big") + len(body).to_bytes(2, "big") + body

    def datagrams(*all):
        return b"".join(len(one).to_bytes(2, "big") + one for one in all)

    hello = b"\xfe\xfd" + b"r" * 32 + b"\0" + b"\0" + b"\0\2\xc0\x2b" + b"\1\0"
    stale = b"\xfe\xfd" + b"r" * 32 + b"\0" + b"\x20" + b"c" * 32 + b"\0\2\xc0\x2b" + b"\1\0"
    first = datagram_record(22, message(1, hello))
    verify = datagram_record(22, message(3, b"\xfe\xff\x04cook"))
    plain = [0, 1, 0, 0, 0, 0, 0, 143]
    client = [1, 1, 0, 0, 0, 0, 0, 143]
    put("hello", plain, datagrams(first, first))
    put("hello-stale", plain, datagrams(datagram_record(22, message(1, stale, 1), 0, 1)))
    put("hello-fragment", plain, datagrams(first[:-1], first + first, datagram_record(22, message(1, hello)[:-3])))
    put("no-hello", plain, datagrams(b"", b"GET / HTTP/1.1", datagram_record(23, b"x", 1), datagram_record(25, b"12345678\0\1x")))
    put("verify", client, datagrams(verify, verify))
    put("verify-odd", client, datagrams(datagram_record(22, message(3, b"\xfe\xff\xffx")), datagram_record(22, message(3, b""))))
    put("alert", client, datagrams(datagram_record(21, b"\2\x28")))
    put("server-hello", client, datagrams(verify, datagram_record(22, message(2, b"\xfe\xfd" + b"r" * 32 + b"\0\xc0\x2b\0\0\0", 1), 0, 1)))
    for role in (0, 1):
        who = "client" if role else "server"
        put(f"good-{who}", [2 | role, 1, 0, 0, 0, 0, 20, 143])
        put(f"small-{who}", [2 | role, 1, 0, 0, 0, 0, 20, 0])
        put(f"slow-{who}", [2 | role, 90, 0, 0, 0, 0, 20, 30])
        put(f"gone-{who}", [34 | role, 1, 0, 0, 0, 0, 3, 143])
        put(f"behind-{who}", [66 | role, 1, 0, 0, 0, 0, 3, 143],
            datagrams(first, datagram_record(21, b"\2\x28"), datagram_record(23, bytes(40), 1, 99), datagram_record(25, bytes(40), 1)))
        for at in range(8):
            put(f"lost-{at}-{who}", [6 | role, 90, 0, 0, at, 1, 5, 143])
            put(f"twice-{at}-{who}", [10 | role, 1, 0, 0, at, 1, 5, 143])
            put(f"late-{at}-{who}", [18 | role, 90, 0, 0, at, 1, 5, 40])
        for place in (0, 3, 11, 13, 20, 60, 100, 150, 300, 330, 400, 500, 700):
            put(f"flip-{place}-{who}", [2 | role, 1, place >> 8, place & 255, 0, 255, 5, 143], b"\1")


def http_router():
    def put(name, routes, *questions):
        write("http_router", name, "\n".join([*routes, "", *questions]).encode() + b"\n")

    kinds = [f"- GET /{kind}" for kind in ("me", ":u<uuid>", ":i<int>", ":h<hex>", ":l<alpha>", ":n<alnum>",
                                           ":s<slug>", ":x", "*all")]
    put("kinds", kinds, *(f"- GET /{text}" for text in (
        "", "me", "01234567-89ab-cdef-0123-456789abcdef", "42", "-9223372036854775808", "9223372036854775808", "c0ffee",
        "coffee", "tea4two", "Tea4Two", "tea-for-2", "tea--", "a/b")))
    put("rests", ["- GET /files/*path", "- GET /*all", "- GET /files", "- GET /files/:x/y"],
        "- GET /files", "- GET /files/", "- GET /files/a/y", "- GET /files/a/y/z", "- GET /", "- GET //a//")
    put("optional", ["- GET /users/:id?", "- GET /:lang<alpha>?"], "- GET /users", "- GET /users/7", "- GET /",
        "- GET /en", "- GET /users/")
    put("crossing", [f"- GET /{a}/{b}/{c}" for a in ("a", ":x") for b in ("b", ":y") for c in ("c", ":z<int>")],
        "- GET /a/b/c", "- GET /a/b/7", "- GET /x/b/c", "- GET /x/y/z", "- GET /x/y/9")
    put("methods", ["- GET|PUT /x", "- * /y", "- PURGE /x", "- HEAD /z", "- GET /:x", "- OPTIONS *"],
        "- GET /x", "- HEAD /x", "- PURGE /x", "- BREW /x", "- BREW /y", "- OPTIONS /x", "- HEAD /z", "- OPTIONS *",
        "- CONNECT ")
    put("hosts", ["- GET /a", "a.example GET /b", "*.example GET /c", "*.b.example GET /c", "*.example PUT /a"],
        "a.example GET /a", "a.example GET /b", "A.EXAMPLE. GET /c", "a.b.example GET /c", "b.example PUT /a",
        "example GET /c", ".b.example GET /c", "........ GET /a")
    put("refused", ["- get /x", "- GET x", "- GET /:a/:a", "- GET /*a/b", "- GET /:a?/b", "- GET /:a<b>", "- GET /{a}",
                    "a:8 GET /x", "- GET| /x", "- CONNECT /x", "- GET /x", "- GET /x", "- GET /" + "a/" * 70],
        "- GET /x")
    put("deep", ["- GET /" + "/".join(f":p{i}" for i in range(16)), "- GET /" + "a/" * 60 + "*rest"],
        "- GET /" + "a/" * 15 + "a", "- GET /" + "a/" * 60, "- GET /" + "a/" * 200)
def http_parse():
    def put(name, kind, text, step=0):
        write("http_parse", name, bytes([kind, step]) + text)

    heads = {
        "get": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "old": b"GET /a?b#c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "next": b"\r\nPUT * HTTP/1.1\r\nHost: [::1]:8080\r\nX:\t y \t\r\nEmpty:\r\n\r\nGET / HTTP/1.1\r\n",
        "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0012\r\nExpect: 100-continue\r\n\r\n",
        "lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
        "too-long": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "codings": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: ,chunked\r\n\r\n",
        "both": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "upgrade": b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
        "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "spaced": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "bare": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        "method": b"M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n",
        "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "many": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 13 + b"\r\n",
        "target": b"GET /" + b"a" * 200,
        "large": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 700,
        "zero": b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        "tls": record(22, client_hello(), 1),
    }
    for name, text in heads.items():
        put(name, 0, text)
        put(name + "-cut", 0, text, 6)
    fields = b"Content-Length: 5\r\nConnection: close\r\n\r\n"
    for name, line in {"200": b"HTTP/1.1 200 OK", "304": b"HTTP/1.1 304 ", "bare": b"HTTP/1.0 200", "ice": b"ICY 200 OK"}.items():
        for kind in (1, 0x41, 0x81):
            put(f"answer-{name}-{kind}", kind, line + b"\r\n" + fields)
    put("answer-until-end", 1, b"HTTP/1.1 200 OK\r\n\r\nhello")
    bodies = {
        "plain": b"5\r\nhello\r\n0\r\n\r\n",
        "trailers": b"A\r\n0123456789\r\n1\r\n!\r\n000\r\nX-Sum: 1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
        "extensions": b"1;a=b;c=\"d\\\"e\" ; f\r\n!\r\n0;g\r\n\r\n",
        "digits": b"00000000000000001\r\n!\r\n0\r\n\r\n",
        "huge": b"ffffffffffffffff\r\n",
        "limit": b"bb8\r\n" + b"x" * 3000 + b"\r\n1\r\n",
        "bare": b"1\n!\r\n0\r\n\r\n",
        "unended": b"1\r\n!!\r\n0\r\n\r\n",
    }
    for name, text in bodies.items():
        put("chunks-" + name, 2, text)
        put(f"chunks-{name}-cut", 2, text, 2)
    put("trailers", 3, b"X-Sum: 1\r\nContent-Length: 5\r\nSet-Cookie: a\r\n\r\n")
    put("trailers-none", 3, b"\r\n")
    put("trailers-wrong", 3, b"X-Sum 1\r\n\r\n")
def texts(target, items, head=b""):
    for number, item in enumerate(items):
        write(target, f"{number:02}", head + (item if isinstance(item, bytes) else item.encode()))


def ws_dial():
    def put(name, text, choice=0, piece=2):
        write("ws_dial", name, bytes([choice, piece]) + text)

    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    right = switching + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    deflate = b"Sec-WebSocket-Extensions: permessage-deflate"
    put("right", right + b"\r\n\x81\x05hello")
    put("interim", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + right + b"\r\n", piece=6)
    put("subprotocol", right + b"Sec-WebSocket-Protocol: v2\r\n\r\n", 2)
    put("subprotocol-missing", right + b"\r\n", 6)
    put("subprotocol-other", right + b"Sec-WebSocket-Protocol: v3\r\n\r\n", 2)
    put("deflate", right + deflate + b"\r\n\r\n", 97)
    put("deflate-parameters", right + deflate + b"; server_no_context_takeover; "
        b"client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9\r\n\r\n", 25)
    put("deflate-twice", right + deflate + b"\r\n" + deflate + b"\r\n\r\n", 1)
    put("deflate-not-offered", right + deflate + b"\r\n\r\n")
    put("wrong-key", switching + b"Sec-WebSocket-Accept: x\r\n\r\n")
    put("two-keys", right + b"Sec-WebSocket-Accept: x\r\n\r\n")
    put("no-upgrade", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n")
    put("old", b"HTTP/1.0 101 Switching Protocols\r\n\r\n")
    put("refused", b"HTTP/1.1 403 Not for you\r\nContent-Length: 2\r\n\r\nno")
    put("redirect", b"HTTP/1.1 302 Found\r\nLocation: https://a.example/\r\n\r\n")
    put("version", b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\n\r\n")
    put("phrase", b"HTTP/1.1 500 \xe4\xf6\xfc\r\n\r\n")
    put("long", right + b"X: " + b"y" * 2000 + b"\r\n\r\n")
    put("mail", b"220 mail.example ESMTP\r\n")
    put("empty-line", b"\r\n" + right + b"\r\n")


def http_response():
    def put(name, text, choice=0, piece=2):
        write("http_response", name, bytes([choice, piece]) + text)

    ok = b"HTTP/1.1 200 OK\r\n"
    chunked = ok + b"Transfer-Encoding: chunked\r\n"
    gzipped = gzip.compress(b"hello, hello, hello", mtime=0)
    put("length", ok + b"Content-Length: 5\r\n\r\nhello")
    put("until-end", ok + b"\r\nall there is")
    put("chunks", chunked + b"\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n")
    put("head", ok + b"Content-Length: 5\r\n\r\n", 1)
    put("interim", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ok + b"Content-Length: 0\r\n\r\n")
    put("switched", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")
    put("none", b"HTTP/1.1 204 No Content\r\n\r\n")
    put("gzip", ok + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzipped) + gzipped)
    put("gzip-cut", ok + b"Content-Encoding: gzip\r\n\r\n" + gzipped[:-3])
    put("gzip-kept", ok + b"Content-Encoding: gzip\r\n\r\n" + gzipped, 2)
    put("deflate", ok + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello"))
    put("deflate-bare", ok + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello")[2:-4])
    put("bomb", ok + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(100000), mtime=0))
    put("both", chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n")
    put("twice", ok + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
    put("more", ok + b"Content-Length: 1\r\n\r\nhello")
    put("redirect", b"HTTP/1.1 302 Found\r\nLocation: ../x y?z#\xc3\xa4\r\nContent-Length: 0\r\n\r\n")
    put("redirect-far", b"HTTP/1.1 302 Found\r\nLocation: https://[::1]:8/%2e/\r\nContent-Length: 0\r\n\r\n")
    put("old", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
    put("long", ok + b"X: " + b"y" * 3000 + b"\r\n\r\n")


def http_target():
    texts("http_target", [
        "/", "/users/1?a=b", "/a/b.c/d..e/", "/a%20b%2fc/d", "/%2e%2e/x", "/a/%2E./b", "/a/b/../../c", "/a/./b/.",
        "//evil.example//x/", "/%252e%252e/", "/..;/a", "/a%00", "/%5c..%5c", "/a%2", "/%zz", "/a\\b", "/a#b", "/a b",
        "/x%2fy/../%2F/..", "/..%2f..%2fetc", "/?q=100%&<", "/?" + "a=b&" * 20, "/" + "a/" * 40 + "../" * 41,
        "http://h", "http://h:80/a/../b?c", "HTTPS://[::1]:8443?x", "http://u@h/", "http:///x", "ftp://h/", "h:80", "*", "",
        b"/\xc3\xa4/\xff"], b"\1")
    for name, target in {"whole": "*", "whole-url": "http://h:80", "root-url": "http://h/", "stars": "**"}.items():
        write("http_target", name, b"\x06" + target.encode())
    for name, target in {"connect": "h:443", "connect-ipv6": "[::1]:443", "connect-path": "/", "connect-port": "h:65536",
                         "connect-zone": "[fe80::1%1]:1", "connect-name": "h%41:1"}.items():
        write("http_target", name, b"\x07" + target.encode())


def http_ranges():
    def put(name, size, text, most=4):
        write("http_ranges", name, size.to_bytes(8, "big") + bytes([most]) + text.encode())

    for number, text in enumerate([
            "bytes=0-499", "bytes=500-", "bytes=-500", "bytes=0-0,-1", "bytes=0-9,5-19", "bytes=0-1,3-4,6-7,9-10,12-13",
            "bytes=10000-", "bytes=-0", "bytes=2-1", "bytes=99999999999999999999-", "bytes=1-18446744073709551615",
            "BYTES= 1-2 ,, 4-5", "items=0-1", "bytes=", "bytes=a-b", "bytes=0-1\n\"v1\"", "bytes=0-1\nW/\"v1\"",
            "bytes=0-1\nSun, 06 Nov 1994 08:49:37 GMT", "bytes=0-1\nSunday, 06-Nov-94 08:49:37 GMT"]):
        put(f"{number:02}", 10000, text)
        put(f"{number:02}-empty", 0, text)
    put("largest", 2**64 - 1, "bytes=0-18446744073709551615")
    put("largest-end", 2**64 - 1, "bytes=-1, 0-0, 18446744073709551613-18446744073709551613")
    put("none-allowed", 100, "bytes=0-1", 0)


def http_cookie():
    texts("http_cookie", [
        "a=1; b=2", "a=\"x y\"; b=\"; c=\"\"", "rubbish; =x; ; a = b ;", "a=b=c;b=", ";;=;", "a=1&b=2&&c&=d",
        "a%3Db=%26+%2B", "100%", "%4", "%zz%", "a=%00%ff", b"a=\xff\0; \t b=\x7f", "__Host-id=abc; Path=/",
        "a=" + "x" * 300])


def http_forwarded():
    texts("http_forwarded", [
        "Ffor=192.0.2.43", "FFor=\"[2001:db8:cafe::17]:4711\"", "Ffor=192.0.2.60;proto=http;by=203.0.113.43;host=h",
        "Ffor=1.1.1.1, for=10.1.1.1\nFfor=10.2.2.2", "Ffor=unknown, for=10.1.1.1", "Ffor=_hidden;proto=https;host=\"h:1\"",
        "Ffor=\"1.1.1.1", "Ffor=1.1.1.1;x=\"\\\"", "Fx=\"a\\\\", "Ffor=1.1.1.1;for=2.2.2.2", "F,, ,", "Ffor=\"10.1.1.1:_p\"",
        "Ffor=\"[fe80::1%1]\"", "Ffor=1.1.1.1:80", "Ffor=\"::1\"", "X1.1.1.1, 192.0.2.60 ,10.2.2.2\nPhttp, https, http\nHa, b, c",
        "X::ffff:10.1.1.1, [::1]:80\nX10.1.1.1\nPhttps\nHu@h", "Xunknown\nPhttps", "X" + "10.0.0.1," * 60, "Phttp\nHh",
        "Ffor=10.1.1.1\nX1.1.1.1"])


def http_fields():
    texts("http_fields", [
        "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "text/*;q=0.3, text/html;a=b;q=1.000, */*;q=0",
        "gzip;q=1.0, identity; q=0.5, *;q=0", "br, gzip, deflate", "x-gzip;q=0.001, *;q=0.0000", "da, en-gb;q=0.8, en;q=0.7, *;q=0",
        "utf-8, *;q=0.3", "a/b;q=2, a/b;q=.5, a/b;q=1.001", "*", ", ,", "text/html; charset=\"utf-8\"; a=b",
        "form-data; filename=\"a; \\\"b\\\\\"; a=\"", "a; b", "a;a=0123456789abcdef", "\"v1\"", "W/\"v1\", \"a,b\", \"c\\\", *",
        "\"v0\" x, \"v1\"", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:60 GMT", "Mon, 29 Feb 2015 00:00:00 GMT", "Tuesday, 29-Feb-00 00:00:00 GMT",
        "Sat, 01 Jan 0001 00:00:00 GMT", b"a\xff\x7f\0,b"])


def http():
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    chunked = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    requests = [
        get * 3,
        b"GET /?name=a%20b HTTP/1.1\r\nHost: a\r\nCookie: sid=1; x=2\r\n\r\n" + get,
        b"GET /things/%41bc HTTP/1.1\r\nHost: a\r\nCookie: sid=1\r\n\r\n" + get,
        b"HEAD /files/a/../b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get,
        chunked + get,
        chunked.replace(b"echo", b"count").replace(b"0\r\n\r\n", b"0\r\nX-Sum: 5\r\n\r\n") + get,
        chunked.replace(b"echo", b"careless") + get,
        b"PUT /careless HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + get,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + get,
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nDELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get,
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n" + get,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + get,
        b"\r\n\r\n" + get,
    ]
    for index, request in enumerate(requests):
        for limits in range(4):
            write("http", f"{index:02}-{limits}", bytes([0x80 * (index % 2) | index * 4 & 0x7F, limits]) + request)


def ws_head(first, length, mask=None, form=None):
    form = form or (length if length < 126 else 126 if length < 65536 else 127)
    head = bytes([first, form | (0x80 if mask else 0)])
    head += struct.pack(">H", length) if form == 126 else struct.pack(">Q", length) if form == 127 else b""
    return head + (mask or b"")


def ws_masked(first, payload, mask=b"\x37\xfa\x21\x3d"):
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return ws_head(first, len(payload), mask) + body


def ws_frame():
    """Whose frames (1: a client's) and with compression (2); where pieces end; frames."""
    def put(name, who, frames, cuts=7):
        write("ws_frame", name, bytes([who, cuts]) + b"".join(frames))

    texts = [b"", b"Hello", "Grüße".encode(), b"0123456789abcdef" * 8, bytes(range(256)) * 3]
    put("client-messages", 1, [ws_masked(0x81, text) for text in texts])
    put("server-messages", 0, [ws_head(0x82, len(text)) + text for text in texts])
    put("fragments", 1, [ws_masked(0x01, b"Hel"), ws_masked(0x89, b"ping"), ws_masked(0x00, b""), ws_masked(0x80, b"lo")])
    put("controls", 1, [ws_masked(0x89, b"p" * 125), ws_masked(0x8A, b""), ws_masked(0x88, b"\x03\xe8bye")])
    put("compressed", 3, [ws_masked(0x41, b"\xf2\x48"), ws_masked(0x80, b"\xcd\xc9\xc9\x07\x00")])
    put("other-mask", 1, [ws_masked(0x82, bytes(range(200)), b"\0\0\0\0"), ws_masked(0x82, b"x" * 70, b"\xff" * 4)], 200)
    put("long", 1, [ws_masked(0x82, bytes(65536))[:500]], 9)
    for name, who, head in [
        ("reserved-bits", 1, ws_masked(0xA1, b"a")), ("reserved-opcode", 1, ws_masked(0x83, b"a")),
        ("reserved-control", 1, ws_masked(0x8B, b"a")), ("compressed-unasked", 1, ws_masked(0xC1, b"a")),
        ("compressed-continuation", 3, ws_masked(0xC0, b"a")), ("compressed-control", 3, ws_masked(0xC9, b"a")),
        ("control-in-fragments", 1, ws_masked(0x09, b"a")), ("control-too-long", 1, ws_masked(0x89, b"a" * 126)),
        ("mask-missing", 1, ws_head(0x81, 1) + b"a"), ("mask-of-a-server", 0, ws_masked(0x81, b"a")),
        ("two-bytes-for-125", 0, ws_head(0x82, 125, form=126)), ("eight-bytes-for-65535", 0, ws_head(0x82, 65535, form=127)),
        ("largest", 0, ws_head(0x82, 2 ** 63 - 1) + b"begins"), ("above-the-largest", 0, ws_head(0x82, 2 ** 63)),
        ("cut-length", 1, ws_masked(0x82, bytes(300))[:3]), ("cut-mask", 1, ws_masked(0x82, b"a")[:5]),
    ]:
        put(name, who, [head])


def ws_utf8():
    """Where pieces end; a text."""
    texts = {
        "ascii": b"plain text that is longer than two wide words, so that it is read in both",
        "two-bytes": "Füße, κόσμε, żółć, мир, שלום".encode(), "three-bytes": "日本語のテキスト、漢字とかな。€".encode(),
        "four-bytes": "\U0001F600\U00010000\U0010FFFF, \U0001F601".encode(), "borders": "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff".encode(),
        "surrogate": b"abc \xed\xa0\x80 def", "surrogate-pair": b"\xed\xa0\xbd\xed\xb8\x80", "above": b"\xf4\x90\x80\x80",
        "five-bytes": b"\xf8\x88\x80\x80\x80", "long-slash": b"/\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf", "lonely": b"a\x80b\xbfc",
        "cut-two": b"a\xc3", "cut-three": b"a\xe2\x82", "cut-four": b"a\xf0\x9f\x98", "cut-short": b"\xf0\x9f\x98a\xe2\x82z",
        "end-of-block": b"0123456789abcd\xf0\x9f\x98\x80" * 3, "wrong-behind-blocks": b"0123456789abcdef" * 3 + b"\xe0\x9f\xbf",
        "bytes": b"\xff\xfe\x00a",
    }
    for index, (name, text) in enumerate(texts.items()):
        write("ws_utf8", name, bytes([index * 11]) + text)


def ws_client_frame(opcode, payload, fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d"):
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + struct.pack(">H", size)
    else:
        head += b"\xff" + struct.pack(">Q", size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def ws_deflated(payload):
    press = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (press.compress(payload) + press.flush(zlib.Z_SYNC_FLUSH))[:-4]


def ws_conn():
    hello = ws_client_frame(1, b"hello")
    pieces = ws_client_frame(1, "gr\u00fc\u00df".encode()[:3], fin=False) + ws_client_frame(9, b"p") + ws_client_frame(0, b"\xbc\xc3\x9f")
    inputs = {
        "hello": hello * 3,
        "pieces": pieces + hello,
        "long": ws_client_frame(2, bytes(range(256)) * 2) + hello,
        "longer": ws_client_frame(2, b"x" * 66000) + hello,
        "close": hello + ws_client_frame(8, struct.pack(">H", 1000) + b"bye") + hello,
        "close-empty": ws_client_frame(8, b""),
        "close-bad": ws_client_frame(8, struct.pack(">H", 1005)),
        "bad-text": ws_client_frame(1, b"abc\xed\xa0\x80") + hello,
        "reserved": ws_client_frame(3, b"") + hello,
        "nested": ws_client_frame(1, b"a", fin=False) + hello,
        "deflated": ws_client_frame(1, ws_deflated(b"hello " * 20), rsv=0x40) * 2 + hello,
        "deflated-pieces": ws_client_frame(1, ws_deflated(b"a" * 300)[:3], fin=False, rsv=0x40)
        + ws_client_frame(0, ws_deflated(b"a" * 300)[3:]) + hello,
        "deflated-bad": ws_client_frame(2, b"\xff\xff\xff", rsv=0x40) + hello,
        "pings": b"".join(ws_client_frame(9, bytes([at])) for at in range(5)) + hello,
        "cut": hello[:-2],
        "huge": bytes([0x82, 0xFF]) + b"\x7f" + b"\xff" * 7 + b"\1\2\3\4",
    }
    for name, data in inputs.items():
        for choice in range(3):
            write("ws_conn", f"{name}-{choice}", bytes([choice, choice, 0x86, 0]) + data)


def ws_handshake():
    """Cuts, options; a request for a WebSocket, and what comes behind it."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    version = "Sec-WebSocket-Version: 13"
    upgrade = ["Connection: Upgrade", "Upgrade: websocket"]
    sound = ["Host: a", *upgrade, key, version]
    hello = ws_client_frame(1, b"hello")

    def request(lines, first="GET / HTTP/1.1"):
        return "\r\n".join([first, *lines, "", ""]).encode()

    inputs = {
        "sound": request(sound) + hello,
        "lists": request(["Host: a", "Connection: keep-alive, Upgrade", "upgrade: h2c", "UPGRADE: x, WebSocket", key, version]) + hello,
        "no-key": request(["Host: a", *upgrade, version]) + request(sound) + hello,
        "bad-key": request(["Host: a", *upgrade, key.replace("Q==", "R=="), version]) + hello,
        "two-keys": request([*sound, key]) + hello,
        "version": request(["Host: a", *upgrade, key, "Sec-WebSocket-Version: 8"]) + request(sound) + hello,
        "old": request(sound, "GET / HTTP/1.0") + hello,
        "post": request([*sound, "Content-Length: 11"], "POST / HTTP/1.1") + hello + request(sound) + hello,
        "body": request([*sound, "Content-Length: 11"]) + hello + request(sound) + hello,
        "chunks": request([*sound, "Transfer-Encoding: chunked"]) + b"0\r\n\r\n" + request(sound) + hello,
        "plain": request(["Host: a"]) + request(["Host: a"], "GET /plain HTTP/1.1") + request(sound) + hello,
        "origin": request([*sound, "Origin: https://a"]) + hello,
        "origin-other": request([*sound, "Origin: https://b"]) + request([*sound, "Origin: null"]) + hello,
        "subprotocols": request([*sound, "Sec-WebSocket-Protocol: v3, v1", "Sec-WebSocket-Protocol: v2"]) + hello,
        "subprotocol-twice": request([*sound, "Sec-WebSocket-Protocol: v1, v1"]) + hello,
        "extensions": request([*sound, "Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits"])
        + ws_client_frame(1, ws_deflated(b"hello " * 5), rsv=0x40),
        "extensions-bad": request([*sound, "Sec-WebSocket-Extensions: permessage-deflate;;"]) + hello,
        "refused": request(sound, "GET /no HTTP/1.1") + request(sound, "GET /v1 HTTP/1.1") + hello,
        "frames-first": hello + request(sound),
        "cut": request(sound)[:-9],
    }
    for index, (name, data) in enumerate(inputs.items()):
        for choice in range(4):
            write("ws_handshake", f"{name}-{choice}", bytes([0x80 * (index % 2) | index * 4 & 0x7F, choice]) + data)
def ws_extension():
    ours = "permessage-deflate"
    inputs = {
        "plain": ours,
        "browser": f"{ours}; client_max_window_bits",
        "all": f"{ours}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10;"
        " client_max_window_bits=12",
        "quoted": f'{ours}; server_max_window_bits="1\\0" , x;a="b"',
        "fallback": f"{ours}; server_max_window_bits=7, {ours}; unknown, {ours}; server_max_window_bits=8, {ours}",
        "bare-answer": f"{ours}; server_no_context_takeover; server_max_window_bits=9",
        "twice": f"{ours}; client_no_context_takeover; client_no_context_takeover",
        "no-end": f'{ours}; a="b',
        "commas": f",, {ours},",
    }
    for name, text in inputs.items():
        for choice in (0xFF, 0x3F, 0x0A):
            write("ws_extension", f"{name}-{choice:02x}", bytes([choice, choice]) + text.encode())


def ws_inflate():
    text = b'{"id":7340,"from":"Ada","text":"we meet at noon at the red bridge"}' * 4
    final = zlib.compressobj(9, zlib.DEFLATED, -15)
    fixed = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_FIXED)
    flat = zlib.compressobj(0, zlib.DEFLATED, -15)
    hello = bytes.fromhex("f248cdc9c90700")
    inputs = {
        "hello": hello,
        "stored": bytes.fromhex("000500faff48656c6c6f00"),
        "final": bytes.fromhex("f348cdc9c9070000"),
        "final-twice": bytes.fromhex("f348cdc9c90700f348cdc9c9070000"),
        "two-blocks": bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")),
        "looks-back": bytes.fromhex("f348cdc9c90700f200110000"),
        "ends-within-the-tail": bytes.fromhex("f248cdc9c92700"),
        "too-far": bytes.fromhex("f200110000"),
        "with-tail": hello + bytes.fromhex("0000ffff"),
        "text": ws_deflated(text),
        "text-final": final.compress(text) + final.flush() + b"\0",
        "text-fixed": (fixed.compress(text) + fixed.flush(zlib.Z_SYNC_FLUSH))[:-4],
        "text-flat": (flat.compress(text) + flat.flush(zlib.Z_SYNC_FLUSH))[:-4],
        "cut": ws_deflated(text)[:-9],
        "bomb": ws_deflated(bytes(69000)),
        "too-big": ws_deflated(bytes(200000)),
        "rubbish": bytes.fromhex("ffffffff"),
        "empty": b"\0",
        "nothing": b"",
        "json": text,
    }
    for name, data in inputs.items():
        for at, choices in enumerate((b"\x06\x00\x07", b"\x02\x05\x80", b"\x03\xff\x41")):
            write("ws_inflate", f"{name}-{at}", choices + data)


def udp():
    def put(name, happens, flags=4, limit=0, takes=0, deed=0):
        write("udp", name, bytes([flags, limit, takes, deed]) + b"".join(happens))

    def comes(body, long=False):
        return bytes([2, len(body) // 3]) + body if long else bytes([0, len(body)]) + body

    def does(deed, much=0):
        return bytes([deed + 8 * much])

    def rest(what, much=0):
        return does(7, what) + bytes([much])

    def numbered(number, body=b""):
        return comes(struct.pack(">I", number) + body)

    run, resume, pause = does(3), does(4), does(5)
    bodies = [comes(body) for body in (b"", b"!", b"hello", bytes(range(255)))]
    put("echo", bodies)
    put("echo-runs", [bodies[2], run, bodies[0], run, bodies[3]])
    put("client-text", bodies, flags=4 | 2 | 8)
    put("long", [comes(bytes(765), long=True), comes(b"x" * 300, long=True)], takes=3)
    put("limit", bodies, limit=2)
    put("limit-refused", bodies, limit=6)
    put("peer-takes-little", bodies, takes=2)
    put("few-a-turn", bodies * 4, flags=4 | 16)
    put("paused", [bodies[1], pause, *bodies, resume, bodies[2]])
    put("paused-long", [pause, does(6, 31), *bodies, does(6, 31), resume, bodies[2]])
    put("idle", [bodies[1], does(6, 31) * 10, bodies[1]])
    put("full", [rest(5), *bodies, rest(6), *bodies])
    put("sends", [rest(2, n) for n in (0, 1, 9, 255)] + [rest(3, 3), rest(4, 7), rest(4, 0)])
    put("close", [bodies[1], rest(0), *bodies])
    put("abort", [bodies[1], rest(1), *bodies])
    put("close-paused", [pause, bodies[1], rest(0), *bodies])
    put("cut", [bodies[1], bytes([0, 200]) + b"short"])
    for deed in (1, 2, 3):
        for at in (1, 2, 4):
            put(f"deed-{deed}-{at}", bodies + [resume, *bodies], deed=deed + 8 * at)
    put("deed-again", bodies + [resume, *bodies], deed=1 + 4 + 8)
    put("numbered", [numbered(n, b"n%d" % n) for n in (1, 2, 5, 4, 5, 6)], flags=5)
    put("numbered-around", [numbered(n) for n in (2**31 - 1, 2**32 - 2, 1, 2**32 - 1, 0)], flags=5)
    put("numbered-short", [comes(b""), comes(b"\0\0\1"), numbered(1)], flags=5)
    put("stateless", [b"what time is it?"], flags=0x80)
    put("stateless-empty", [], flags=0x80)
    put("stateless-refused", [b"?"], flags=0x80, limit=6)


if __name__ == "__main__":
    udp()
    ws_extension()
    ws_inflate()
    ws_conn()
    framed()
    line()
    tls_hello()
    tls_stream()
    dtls()
    http_router()
    http_parse()
    http_response()
    ws_dial()
    http_target()
    http_ranges()
    http_cookie()
    http_forwarded()
    http_fields()
    http()
    ws_frame()
    ws_utf8()
    ws_handshake()
