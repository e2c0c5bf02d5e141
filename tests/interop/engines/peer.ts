/**
 * Another process of an application: sends back, below `out`, what is published below `in`.
 *
 * Its arguments are the engine's name and URL. It says `connected` once it is.
 *
 * @module
 */

import { Topics } from "../../../topics.ts";
import { FakeSocket } from "../../topics/fakes.ts";
import { NATS, REDIS } from "./engines.ts";

const [name, servers] = Deno.args;
const kind = name === NATS.name ? NATS : REDIS;
const topics = new Topics({ backplane: kind.backplane({ servers: servers! }) });
for (const word of ["a", "b"]) {
  const socket = new FakeSocket();
  socket.send = (data) => void topics.publish(`out.${word}`, data as string);
  topics.subscribe(socket, `in.${word}`);
}
topics.addEventListener(
  "backplane",
  () => console.log(topics.stats.isConnected ? "connected" : "away"),
);
