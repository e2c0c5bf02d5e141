/** `server.ts --backplane`, as two processes by its task. */

import { assertEquals } from "@std/assert";
import { certificatesFolder, Peer, RawPeer, startServer, stop } from "../../programs.ts";
import { Engine, NATS, REDIS } from "./engines.ts";

const HEALTHZ = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

for (const kind of [NATS, REDIS]) {
  Deno.test({
    name:
      `server.ts --backplane joins the rooms of two processes by ${kind.name}, and lives without it`,
    ignore: kind.ignore,
    async fn() {
      const password = "very-secret";
      await using engine = await Engine.start(kind, { user: { name: "ada", password } });
      await using folder = await certificatesFolder();
      const start = (args: string[]) =>
        startServer(
          ["--mode=broadcast", "--history=2", "--lang=en", ...args],
          { cwd: folder.path, env: { WSS_BACKPLANE: engine.url(`ada:${password}@`) } },
          "serve:backplane",
        );
      await using one = await start(["--workers=2"]);
      await using two = await start(["--compression=off"]);
      const health = async () => {
        using raw = await RawPeer.connect(two.port);
        const { status, body } = await raw.request(HEALTHZ);
        return [status, body.includes("away")];
      };
      for (let i = 0; i < 2; i++) await one.program.stderr.match(/Backplane connected/);
      await two.program.stderr.match(/Backplane connected/);
      assertEquals(await health(), [200, false]);

      const join = async ({ port, program }: typeof one) => {
        const peer = await Peer.open(`wss://127.0.0.1:${port}/ws/lobby`);
        await program.stdout.match(/Joined room "lobby"/);
        return peer;
      };
      await using here = await join(one);
      await using there = await join(two);
      await reaches(there, here);
      await reaches(here, there);
      await hears(there, here, "text");
      await hears(here, there, new Uint8Array([0, 255]));

      await engine.crash();
      await two.program.stderr.match(/Backplane away/);
      assertEquals(await health(), [200, true]);
      await using neighbour = await join(two);
      // The history, and then what is sent now.
      assertEquals(
        [await neighbour.next(), await neighbour.next()],
        ["text", new Uint8Array([0, 255])],
      );
      await hears(neighbour, there, "still");

      await engine.start();
      for (let i = 0; i < 2; i++) await one.program.stderr.match(/Backplane connected/);
      await two.program.stderr.match(/Backplane connected/);
      assertEquals(await health(), [200, false]);
      await hears(here, there, "back");
      for (const server of [one, two]) {
        const { code, stdout, stderr } = await stop(server);
        assertEquals(code, 0);
        assertEquals([...stdout, ...stderr].filter((line) => line.includes(password)), []);
      }
    },
  });
}

/** Waits until the engine has the subscriptions of a listener: it may take a moment. */
async function reaches(listener: Peer, speaker: Peer): Promise<void> {
  const timer = setInterval(() => speaker.socket.send("?"), 50);
  await listener.next();
  clearInterval(timer);
}

/** Sends a message, and checks that it is heard, behind what is left of {@linkcode reaches}. */
async function hears(listener: Peer, speaker: Peer, message: string | Uint8Array<ArrayBuffer>) {
  speaker.socket.send(message);
  let heard = await listener.next();
  while (heard === "?") heard = await listener.next();
  assertEquals(heard, message);
}
