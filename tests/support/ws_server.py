"""A WebSocket server made of Python's websockets, for tests of our client. Prints port=N; and does what ws_server.js does.

python3 ws_server.py COMPRESS [CERT KEY]   COMPRESS: yes or no
"""
import asyncio
import http
import signal
import ssl
import sys

try:
    import websockets
except ImportError:
    print("missing;", flush=True)
    sys.exit(0)


def pieces_of(data):
    size = -(-len(data) // 4)
    return [data[at : at + size] for at in range(0, len(data), size)]


async def ping(socket):
    await (await socket.ping(b"mark"))
    await socket.send("ponged mark")


async def talk(socket, path):
    if path == "/pinged":
        await ping(socket)
    async for data in socket:
        if path == "/close":
            await socket.close(4001, "enough")
        elif path == "/pieces":
            await socket.send(pieces_of(data))
        else:
            await socket.send(data)


async def refuse(path, _headers):
    return (http.HTTPStatus.UNAUTHORIZED, [], b"who are you?") if path == "/closed" else None


async def main(compress, cert=None, key=None):
    context = None
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set_result, None)
    async with websockets.serve(
        talk,
        "127.0.0.1",
        0,
        ssl=context,
        subprotocols=["v2"],
        process_request=refuse,
        max_size=None,
        compression="deflate" if compress == "yes" else None,
    ) as server:
        print(f"port={server.sockets[0].getsockname()[1]};", flush=True)
        await stop


asyncio.run(main(*sys.argv[1:]))
