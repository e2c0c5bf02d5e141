"""python3-aiohttp as the peer of `peer.ts`: sends every message back, compressed with a context that it keeps."""

import asyncio
import json
import ssl
import sys

from aiohttp import ClientSession, WSMsgType, web


def say(line):
    print(line.strip(), flush=True)


async def echo(socket, headers):
    say("open " + headers.get("Sec-WebSocket-Extensions", ""))
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    say(f"closed {socket.close_code}")


async def serve(request):
    socket = web.WebSocketResponse(compress=True)
    await socket.prepare(request)
    await echo(socket, socket.headers)
    return socket


async def main(orders):
    if orders["role"] == "server":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(orders["cert"], orders["key"])
        app = web.Application()
        app.router.add_get("/", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        say(f"port {runner.addresses[0][1]}")
        await asyncio.Future()
    context = ssl.create_default_context(cafile=orders["ca"])
    async with ClientSession() as session:
        async with session.ws_connect(orders["url"], ssl=context, compress=15) as socket:
            await echo(socket, socket._response.headers)


asyncio.run(main(json.loads(sys.argv[1])))
