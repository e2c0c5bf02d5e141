/**
 * A server that floods each client over TLS, with the certificate in `certs/`: as its argument says,
 * with frames that take next to no bytes, or with bombs. Prints its port.
 *
 * @module
 */

import { createServer } from "node:tls";
import { type Attack, bombOf, type Flood, floodOf } from "../../bench/attacker.ts";
import { BINARY, TEXT } from "../../bench/wire.ts";
import { serverHandshake } from "./server_handshake.ts";

const attack = Deno.args[0] as Attack;
const frames = attack === "bombs-text"
  ? bombOf(TEXT, { masked: false })
  : attack === "bombs-binary"
  ? bombOf(BINARY, { masked: false })
  : floodOf(attack as Flood, { masked: false });
const pair = {
  cert: Deno.readTextFileSync("certs/server.crt"),
  key: Deno.readTextFileSync("certs/server.key"),
};

const server = createServer(pair, (socket) => {
  socket.on("error", () => {});
  socket.once("data", async (head) => {
    // Pongs are read and thrown away.
    socket.on("data", () => {});
    socket.write(await serverHandshake(head.toString("latin1")));
    const flood = () => {
      while (socket.write(frames));
      socket.once("drain", flood);
    };
    flood();
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as { port: number }).port));
