/**
 * Peers that keep their compression context whatever they are asked: several messages each way, of which the
 * later ones refer to the earlier ones.
 */

import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { projectPath, RUNNABLE } from "../programs.ts";
import { connectTo, type PairOptions, type Peer, runProgram, succeeds } from "./peer.ts";

/** Debian's, and the peers among its packages. */
const PYTHON = "/usr/bin/python3";
const PERL = "/usr/bin/perl";

const JARS = [
  "/usr/share/java/tomcat10-websocket.jar",
  "/usr/share/java/tomcat10-websocket-api.jar",
  "/usr/share/java/tomcat10-websocket-client-api.jar",
  "/usr/share/java/tomcat10-servlet-api.jar",
  "/usr/share/java/tomcat10-juli.jar",
  "/usr/share/java/tomcat10-util.jar",
  "/usr/share/java/tomcat10-util-scan.jar",
  "/usr/share/java/tomcat10-coyote.jar",
  "/usr/share/java/tomcat10-api.jar",
];

function inPython(module: string, missing: boolean): Peer {
  return {
    name: `python3-${module}`,
    ignore: missing,
    run: (orders) =>
      runProgram(PYTHON, [projectPath(`tests/interop/python/${module}_peer.py`)], orders),
  };
}

const has = (command: string, ...args: string[]) => RUNNABLE ? succeeds(command, args) : false;

const mojolicious: Peer = {
  name: "libmojolicious-perl",
  ignore: !await has(PERL, "-MMojolicious", "-MIO::Socket::SSL", "-e1"),
  run: (orders) =>
    runProgram(PERL, [projectPath("tests/interop/perl/mojolicious_peer.pl")], orders),
};

const tomcat: Peer = {
  name: "libtomcat10-java",
  ignore: !await has("java", "--version") || !await has("test", "-f", JARS[0]!),
  run(orders) {
    if (orders.role !== "client") throw new Error("It is a client");
    const program = projectPath("tests/interop/java/TomcatPeer.java");
    return runProgram("java", ["-cp", JARS.join(":"), program, orders.url, orders.ca], orders);
  },
};

const peers: [Peer, PairOptions["role"][]][] = [
  [inPython("tornado", !await has(PYTHON, "-c", "import tornado")), ["client", "server"]],
  [inPython("aiohttp", !await has(PYTHON, "-c", "import aiohttp")), ["client", "server"]],
  [mojolicious, ["client", "server"]],
  [tomcat, ["client"]],
];

/** A text that hardly compresses by itself. */
function noise(seed: number): string {
  let state = seed;
  return Array.from({ length: 300 }, () => {
    state = Math.imul(state, 1103515245) + 12345;
    return String.fromCharCode(0x21 + ((state >>> 16) % 94));
  }).join("");
}

for (const [peer, roles] of peers) {
  for (const role of roles) {
    Deno.test({
      name: `${role === "client" ? "upgradeWebSocket()" : "WebSocket"} talks to the ${role} of ` +
        `${peer.name}, which keeps its context`,
      ignore: peer.ignore,
      async fn() {
        await using pair = await connectTo(peer, { role });
        const { ours, wire } = pair;
        assertMatch(ours.socket.extensions, /^permessage-deflate/);
        const bytes = new TextEncoder().encode(noise(3));
        for (const message of [noise(1), "compressão €uro 🦕 ".repeat(400), bytes, noise(2)]) {
          assertEquals(await ours.ask(message), message);
        }
        for (const message of [noise(1), bytes, noise(2)]) {
          const { up, down } = wire;
          assertEquals(await ours.ask(message), message);
          // With the records of TLS: what came before is referred to.
          assertLess(wire.up - up, 150);
          assertLess(wire.down - down, 150);
        }
      },
    });
  }
}
