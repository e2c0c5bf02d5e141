/**
 * A project of a user, that a package is installed in.
 *
 * @module
 */

import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Program } from "../programs.ts";

/** A module that uses each entry of the package. */
const PROJECT = `import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
import { NatsBackplane } from "@permessage/deflate/nats";
import { RedisBackplane } from "@permessage/deflate/redis";
import { Topics } from "@permessage/deflate/topics";

console.log(NatsBackplane.name, RedisBackplane.name);
const topics = new Topics();
const server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
  const { socket, response } = upgradeWebSocket(request);
  socket.onopen = () => topics.subscribe(socket, "all");
  socket.onmessage = ({ data }) => void topics.publish("all", data);
  return response;
});
const socket = new WebSocket(\`ws://127.0.0.1:\${server.addr.port}/\`);
socket.onopen = () => socket.send("a".repeat(2000));
socket.onmessage = async ({ data }) => {
  console.log(data.length, socket.extensions, socket.stats.received.wireBytes < 100);
  socket.close();
  await server.shutdown();
};
`;

/** One whose types are wrong on purpose. */
const WRONG = `import { serve, WebSocket } from "@permessage/deflate";
import { NatsBackplane } from "@permessage/deflate/nats";
import { RedisBackplane } from "@permessage/deflate/redis";
import { Topics } from "@permessage/deflate/topics";

export const wrong: number[] = [
  serve,
  WebSocket,
  NatsBackplane,
  RedisBackplane,
  Topics,
];
`;

/** Runs a program to its end, which must be a success unless said otherwise. */
export async function output(
  file: string,
  args: string[],
  cwd: string,
  { success = true, env = {} }: { success?: boolean; env?: Record<string, string> } = {},
): Promise<string> {
  await using program = new Program(file, args, { cwd, env, limitMs: 120_000 });
  const { code, stdout, stderr } = await program.end();
  const text = [...stdout, ...stderr].join("\n");
  if (success) assertEquals(code, 0, text);
  else assertNotEquals(code, 0, text);
  return text;
}

/** Uses the package, as it is installed in a project, with its types. */
export async function use(project: string, env: Record<string, string> = {}): Promise<void> {
  const deno = Deno.execPath();
  await Deno.writeTextFile(`${project}/main.ts`, PROJECT);
  await Deno.writeTextFile(`${project}/wrong.ts`, WRONG);
  await output(deno, ["check", "main.ts"], project, { env });
  const flags = ["run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1"];
  const told = await output(deno, [...flags, "main.ts"], project, { env });
  assertEquals(told, "NatsBackplane RedisBackplane\n2000 permessage-deflate true");

  // Were an entry without types, its names would be of any type, and nothing would be wrong with them.
  const errors = await output(deno, ["check", "wrong.ts"], project, { env, success: false });
  for (const name of ["serve", "WebSocket", "NatsBackplane", "RedisBackplane", "Topics"]) {
    assertStringIncludes(errors, `\n  ${name},\n`);
  }
}
