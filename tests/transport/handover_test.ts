import { assertEquals } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { Handover } from "../../transport/handover.ts";
import { RawClient } from "../websocket/peers.ts";
import { End, onEachWay, Pair, pattern } from "./ends.ts";

onEachWay("Handover.take() gives a connection that reads nothing until it is resumed", async () => {
  const sent = pattern(1024 * 1024);
  const end = new End();
  const server = createServer({ allowHalfOpen: true });
  const taken = new Promise<Uint8Array>((resolve) => {
    server.on("connection", (socket: Socket) => {
      // As a server of HTTP that has read a head, and whose handler upgrades at once.
      socket.once("data", (head: Uint8Array) => {
        socket.pause();
        const handover = new Handover({ socket, source: socket }, head);
        void handover.take(Uint8Array.of(1)).then(({ connection, rest }) => {
          end.connection = connection;
          connection.receiver = end;
          resolve(rest);
        });
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  using client = await RawClient.connect(port);
  const written = client.write(sent);
  const rest = await taken;

  // What would be read has come once another connection has had this many exchanges.
  await using other = await Pair.open("TCP");
  for (let exchange = 0; exchange < 100; exchange++) {
    await Promise.all([other.client.write(sent.subarray(0, 99)), other.server.read(99)]);
  }
  assertEquals(end.count, 0);

  end.connection.resume();
  const bytes = await end.read(sent.length - rest.length);
  await written;
  assertEquals([...rest, ...bytes].every((byte, at) => byte === sent[at]), true);
  end.connection.destroy();
  await end.closed;
  await new Promise((resolve) => server.close(resolve));
});
