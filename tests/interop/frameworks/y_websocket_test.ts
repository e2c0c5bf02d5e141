import { assertEquals, assertMatch } from "@std/assert";
import { serve, upgradeWebSocket, WebSocket } from "../../../mod.ts";
import { RUNNABLE } from "../../programs.ts";

/** The kind of messages that carry a document, in the protocol of y-websocket. */
const SYNC = 0;

Deno.test({
  name: "WebSocket and upgradeWebSocket() carry y-websocket: documents that become one",
  ignore: !RUNNABLE,
  async fn() {
    const { createDecoder, readVarUint } = await import("lib0/decoding");
    const { createEncoder, length, toUint8Array, writeVarUint } = await import("lib0/encoding");
    const { readSyncMessage, writeSyncStep1, writeUpdate } = await import("y-protocols/sync");
    const { WebsocketProvider } = await import("y-websocket");
    const Y = await import("yjs");

    const document = new Y.Doc();
    const sockets = new Set<WebSocket>();
    /** Sends a message about the document, if there is something to say. */
    const sync = (
      socket: WebSocket,
      write: (encoder: ReturnType<typeof createEncoder>) => void,
    ) => {
      const encoder = createEncoder();
      writeVarUint(encoder, SYNC);
      write(encoder);
      if (length(encoder) > 1) socket.send(new Uint8Array(toUint8Array(encoder)));
    };
    document.on("update", (update, origin) => {
      for (const socket of sockets) {
        if (socket !== origin) sync(socket, (encoder) => writeUpdate(encoder, update));
      }
    });
    await using server = serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { socket, response } = upgradeWebSocket(request);
      socket.onopen = () => {
        sockets.add(socket);
        sync(socket, (encoder) => writeSyncStep1(encoder, document));
      };
      socket.onmessage = ({ data }) => {
        const decoder = createDecoder(new Uint8Array(data));
        if (readVarUint(decoder) !== SYNC) return;
        sync(socket, (encoder) => readSyncMessage(decoder, encoder, document, socket));
      };
      socket.onclose = () => sockets.delete(socket);
      return response;
    });

    const [mine, theirs] = [new Y.Doc(), new Y.Doc()];
    const providers = [mine, theirs].map((document) =>
      new WebsocketProvider(`ws://127.0.0.1:${server.addr.port}`, "room", document, {
        WebSocketPolyfill: WebSocket,
        disableBc: true,
        maxBackoffTime: 0,
      })
    );
    const arrived = new Promise<string>((resolve) => {
      const text = theirs.getText();
      text.observe(() => resolve(text.toString()));
    });
    mine.getText().insert(0, "hello ".repeat(1000));
    assertEquals(await arrived, "hello ".repeat(1000));
    assertEquals(document.getText().toString(), "hello ".repeat(1000));
    assertEquals(sockets.size, 2);
    for (const { extensions } of sockets) assertMatch(extensions, /^permessage-deflate/);

    for (const provider of providers) {
      provider.destroy();
      provider.doc.destroy();
    }
    // A provider that closes sets a timer of `maxBackoffTime`; one that is set after it fires after it.
    await new Promise((resolve) => setTimeout(resolve));
  },
});
