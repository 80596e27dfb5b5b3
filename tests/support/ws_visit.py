"""Python's websockets (version 10 and later), for tests of our server: a ws_gallery. Prints `all is well`.

python3 ws_visit.py ws://HOST:PORT [CA]
"""
import asyncio
import json
import os
import ssl
import sys

import websockets

BASE = sys.argv[1]
CONTEXT = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
PATTERN = bytes((i * 31 + (i >> 8) * 7) & 255 for i in range(65536))


def connect(path, **more):
    return websockets.connect(BASE + path, max_size=1 << 24, ssl=CONTEXT, open_timeout=20, close_timeout=20, **more)


async def ask(socket, message):
    await socket.send(message)
    return await socket.recv()


async def echoes():
    async with connect("/ws", compression=None) as socket:
        for text in ("hello", "", "grüße ✓ 🎉", "\0", "x" * 125, "x" * 126, "ü" * 32768):
            assert await ask(socket, text) == text
        for data in (b"", b"\xff", PATTERN[:126], PATTERN[:65535], PATTERN):
            assert await ask(socket, data) == data
        await socket.send(["in ", "three ", "fragments"])
        assert await socket.recv() == "in three fragments"
        pong = await socket.ping(b"payload")
        await asyncio.wait_for(pong, 20)


async def large():
    async with connect("/ws", compression=None) as socket:
        assert await ask(socket, PATTERN * 32) == PATTERN * 32
        assert await ask(socket, "äöü " * 131072) == "äöü " * 131072


async def compressed():
    async with connect("/z") as socket:
        assert [extension.name for extension in socket.extensions] == ["permessage-deflate"]
        for i in range(50):
            text = json.dumps([{"number": i, "id": j} for j in range(200)])
            assert await ask(socket, text) == text
        noise = os.urandom(200000)
        assert await ask(socket, noise) == noise
        await socket.send(iter([b"in ", PATTERN, b" pieces"]))
        assert await socket.recv() == b"in " + PATTERN + b" pieces"


async def closes():
    socket = await connect("/ws")
    await socket.close(4001, "why")
    assert socket.close_code == 4001, socket.close_code
    socket = await connect("/bye")
    await socket.send("go")
    await socket.wait_closed()
    assert (socket.close_code, socket.close_reason) == (4002, "enough"), (socket.close_code, socket.close_reason)
    socket = await connect("/ws", compression=None)
    try:
        await socket.send(b"x" * ((4 << 20) + 1))
        await socket.recv()
    except websockets.ConnectionClosed:
        pass
    assert socket.close_code == 1009, socket.close_code


async def pings():
    async with connect("/ping") as socket:
        assert await socket.recv() == "pong: are you there"


async def names():
    async with connect("/names", subprotocols=["a", "b"]) as socket:
        assert await socket.recv() == "b" and socket.subprotocol == "b"


async def refused():
    for path, more, status in (("/nowhere", {}, 404), ("/", {}, 200), ("/elsewhere", {"origin": "https://a.example"}, 403)):
        try:
            async with connect(path, **more):
                raise AssertionError(path)
        except websockets.InvalidStatusCode as error:
            assert error.status_code == status, (path, error.status_code)
    async with connect("/elsewhere", origin="https://elsewhere.example") as socket:
        assert await ask(socket, "in") == "in"


async def main():
    for one in (echoes, large, compressed, closes, pings, names, refused):
        await one()
        print(f"{one.__name__}: good", flush=True)
    print("all is well")


asyncio.run(main())
