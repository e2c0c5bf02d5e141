"""python3-websockets as the peer of `peer.ts`: a program with the orders as its argument."""

import asyncio
import json
import ssl
import sys

import websockets
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)


def say(line):
    print(line.strip(), flush=True)


async def obey(socket, headers):
    """Sends every message back, but the commands among them."""
    say("open " + headers.get("Sec-WebSocket-Extensions", ""))
    try:
        async for message in socket:
            if not isinstance(message, str) or not message.startswith("!"):
                await socket.send(message)
                continue
            verb, first, rest = (message[1:].split(" ", 2) + ["", ""])[:3]
            if verb == "ping":
                pong = await socket.ping(first)
                # Pongs are told of only while messages are read.
                pong.add_done_callback(lambda _, data=first: answer(socket, data))
            elif verb == "fragments":
                await socket.send([rest] * int(first))
            elif verb == "close":
                await socket.close(int(first), rest)
            elif verb == "drop":
                socket.transport.abort()
    except websockets.ConnectionClosed:
        pass
    await socket.wait_closed()
    say(f"closed {socket.close_code} {socket.close_reason}")


def answer(socket, data):
    asyncio.ensure_future(socket.send("pong " + data))


PARAMS = {
    "serverNoContextTakeover": "server_no_context_takeover",
    "clientNoContextTakeover": "client_no_context_takeover",
    "serverMaxWindowBits": "server_max_window_bits",
    "clientMaxWindowBits": "client_max_window_bits",
}


async def main(orders):
    server = orders["role"] == "server"
    asked = orders["compression"]
    extensions = []
    if asked is not False:
        params = {PARAMS[name]: value for name, value in asked.items()}
        if server:
            extensions = [ServerPerMessageDeflateFactory(**params)]
        else:
            params.setdefault("client_max_window_bits", True)
            extensions = [ClientPerMessageDeflateFactory(**params)]
    # Messages of any length, and all compression as the orders have it.
    options = {"max_size": None, "compression": None, "extensions": extensions}
    if server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(orders["cert"], orders["key"])
        handler = lambda socket: obey(socket, socket.response_headers)
        async with websockets.serve(handler, "127.0.0.1", 0, ssl=context, **options) as listening:
            say(f"port {listening.sockets[0].getsockname()[1]}")
            await asyncio.Future()
    else:
        context = ssl.create_default_context(cafile=orders["ca"])
        async with websockets.connect(orders["url"], ssl=context, **options) as socket:
            await obey(socket, socket.response_headers)


asyncio.run(main(json.loads(sys.argv[1])))
