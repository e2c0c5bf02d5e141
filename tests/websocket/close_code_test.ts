/**
 * A close code that was received counts (RFC 6455 section 7.1.5), also when writing fails after it.
 */

import { assertEquals } from "@std/assert";
import { CLOSE, closePayload, frame, TEXT } from "../protocol/driver.ts";
import { onEachWay } from "../transport/ends.ts";
import { developmentCertificates } from "../programs.ts";
import { acceptSockets, handshake, next, opened } from "./peers.ts";
import { turn } from "./network.ts";
import { serverHandshake } from "../extended/server_handshake.ts";

for (const secure of [false, true]) {
  const network = secure ? "TLS" : "TCP";
  onEachWay(
    `WebSocket takes the code of a server that leaves in the middle of an upload over ${network}`,
    async () => {
      const { ca, cert, key } = await developmentCertificates();
      const where = { hostname: "127.0.0.1", port: 0 };
      using listener = secure ? Deno.listenTls({ ...where, cert, key }) : Deno.listen(where);
      const { port } = listener.addr as Deno.NetAddr;
      const url = `${secure ? "wss" : "ws"}://127.0.0.1:${port}/`;
      const opening = opened(url, { compression: false, caCerts: [ca] });
      const connection = await listener.accept();
      const request = new Uint8Array(4096);
      const length = (await connection.read(request))!;
      const response = await serverHandshake(new TextDecoder().decode(request.subarray(0, length)));
      await connection.write(new TextEncoder().encode(response));
      const socket = await opening;
      const close = next<CloseEvent>(socket, "close");
      for (let i = 0; i < 16; i++) socket.send(new Uint8Array(1024 * 1024));
      // Some of the upload has come, and is not read: TCP resets the connection, behind the Close.
      await connection.read(request);
      await connection.write(frame("client", CLOSE, closePayload(4009, "bye")));
      connection.close();
      const { code, reason, wasClean } = await close;
      assertEquals([code, reason, wasClean], [4009, "bye", false]);
    },
  );

  onEachWay(
    `upgradeWebSocket() takes the code of a client that leaves in the middle of a download over ${network}`,
    async (way) => {
      const { ca, cert, key } = await developmentCertificates();
      const closed = Promise.withResolvers<CloseEvent>();
      const received = Promise.withResolvers<unknown>();
      await using server = acceptSockets(
        (socket) => {
          socket.onopen = () => {
            for (let i = 0; i < 12; i++) socket.send(new Uint8Array(1024 * 1024));
          };
          socket.onmessage = received.resolve;
          socket.onclose = closed.resolve;
        },
        { compression: false },
        secure ? { cert, key } : {},
      );
      const { port } = server.addr;
      const connection = secure
        ? await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [ca] })
        : await Deno.connect({ hostname: "127.0.0.1", port });
      await connection.write(new TextEncoder().encode(handshake()));
      await connection.read(new Uint8Array(64 * 1024));
      if (way === "native") {
        // After a message the server, whose answers are not taken, reads no more. A public stream would be
        // destroyed by the write that fails, with what it has not read.
        await connection.write(frame("server", TEXT, "more"));
        await received.promise;
        await turn();
      }
      await connection.write(frame("server", CLOSE, closePayload(4001, "enough")));
      connection.close();
      const { code, reason, wasClean } = await closed.promise;
      assertEquals([code, reason, wasClean], [4001, "enough", false]);
    },
  );
}
