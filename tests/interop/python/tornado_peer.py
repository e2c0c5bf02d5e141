"""python3-tornado as the peer of `peer.ts`: sends every message back, compressed with a context that it keeps."""

import asyncio
import json
import ssl
import sys

from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect


def say(line):
    print(line.strip(), flush=True)


class Echo(WebSocketHandler):
    def get_compression_options(self):
        return {}

    def open(self):
        say("open " + self._headers.get("Sec-WebSocket-Extensions", ""))

    def on_message(self, message):
        self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self):
        say(f"closed {self.close_code}")


async def main(orders):
    if orders["role"] == "server":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(orders["cert"], orders["key"])
        sockets = bind_sockets(0, "127.0.0.1")
        HTTPServer(Application([("/", Echo)]), ssl_options=context).add_sockets(sockets)
        say(f"port {sockets[0].getsockname()[1]}")
        await asyncio.Future()
    request = HTTPRequest(orders["url"], ca_certs=orders["ca"])
    socket = await websocket_connect(request, compression_options={})
    say("open " + socket.headers.get("Sec-WebSocket-Extensions", ""))
    while (message := await socket.read_message()) is not None:
        await socket.write_message(message, binary=isinstance(message, bytes))
    say(f"closed {socket.close_code}")


asyncio.run(main(json.loads(sys.argv[1])))
