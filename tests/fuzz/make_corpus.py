#!/usr/bin/env python3
"""Writes the corpus of the framed and line fuzz targets: inputs that are good, cut short, or just wrong."""
import struct
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


if __name__ == "__main__":
    framed()
    line()
