import { assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { upgradeWebSocket, WebSocket } from "../../../mod.ts";
import { RUNNABLE } from "../../programs.ts";
import { EmittingSocket } from "./emitting_socket.ts";

const ignore = !RUNNABLE;

Deno.test({
  name: "WebSocket is the transport of socket.io-client, with a socket.io server that compresses",
  ignore,
  async fn() {
    const { Server } = await import("socket.io");
    const httpServer = createServer().listen(0, "127.0.0.1");
    const server = new Server(httpServer, { perMessageDeflate: { threshold: 0 } });
    server.on("connection", (peer) => {
      peer.on("echo", (text: string, bytes: Uint8Array, answer) => answer(text, bytes));
    });
    await once(httpServer, "listening");
    const { port } = httpServer.address() as AddressInfo;

    const { io, WebSocket: Transport } = await import("socket.io-client");
    const sockets: WebSocket[] = [];
    class OurTransport extends Transport {
      override createSocket(url: string, protocols?: string | string[]) {
        const socket = new WebSocket(url, protocols);
        socket.binaryType = "arraybuffer";
        sockets.push(socket);
        return socket;
      }
    }
    const socket = io(`http://127.0.0.1:${port}`, {
      transports: [OurTransport],
      reconnectionDelay: 1,
    });

    const echo = (text: string, bytes: Uint8Array) =>
      new Promise<[string, Uint8Array]>((resolve) =>
        socket.emit(
          "echo",
          text,
          bytes,
          (text: string, bytes: Uint8Array) => resolve([text, bytes]),
        )
      );
    const [text, bytes] = ["hello ".repeat(1000), new Uint8Array(1000).fill(7)];
    const answer = await echo(text, bytes);
    assertEquals([answer[0], new Uint8Array(answer[1])], [text, bytes]);
    assertMatch(sockets[0]!.extensions, /^permessage-deflate/);

    // Cut off, it connects anew, and sends what was given in between.
    const disconnected = new Promise((resolve) => socket.once("disconnect", resolve));
    sockets[0]!.terminate();
    await disconnected;
    assertEquals((await echo("again", bytes))[0], "again");
    assertEquals(sockets.length, 2);

    const ended = new Promise((resolve) => sockets[1]!.addEventListener("close", resolve));
    socket.disconnect();
    await ended;
    await server.close();
  },
});

Deno.test({
  name:
    "upgradeWebSocket() is the wsEngine of engine.io, and WebSocket the transport of its client",
  ignore,
  async fn() {
    const accepted: WebSocket[] = [];
    class Engine {
      handleUpgrade(
        request: IncomingMessage,
        socket: Socket,
        head: Uint8Array,
        done: (socket: EmittingSocket) => void,
      ) {
        const upgrade = upgradeWebSocket(request, { socket, head });
        upgrade.socket.onopen = () => done(new EmittingSocket(upgrade.socket));
        accepted.push(upgrade.socket);
      }
      close() {}
    }
    const { Server } = await import("engine.io");
    const httpServer = createServer().listen(0, "127.0.0.1");
    const server = new Server({ wsEngine: Engine });
    server.attach(httpServer);
    server.on("connection", (peer) => peer.on("message", (data: string) => peer.send(data)));
    await once(httpServer, "listening");
    const { port } = httpServer.address() as AddressInfo;

    const { Socket: Client, WebSocket: Transport } = await import("engine.io-client");
    class OurTransport extends Transport {
      override createSocket(url: string, protocols?: string | string[]) {
        const socket = new WebSocket(url, protocols);
        socket.binaryType = "arraybuffer";
        return socket;
      }
    }
    const client = new Client(`ws://127.0.0.1:${port}`, { transports: [OurTransport] });
    client.binaryType = "arraybuffer";
    const next = () =>
      new Promise<string | ArrayBuffer>((resolve) => client.once("message", resolve));

    client.send("hello ".repeat(1000));
    assertEquals(await next(), "hello ".repeat(1000));
    client.send(new Uint8Array(1000).fill(7));
    assertEquals(new Uint8Array(await next() as ArrayBuffer), new Uint8Array(1000).fill(7));
    assertMatch(accepted[0]!.extensions, /^permessage-deflate/);

    const ended = new Promise((resolve) => accepted[0]!.addEventListener("close", resolve));
    client.close();
    await ended;
    server.close();
    httpServer.close();
    await once(httpServer, "close");
  },
});
