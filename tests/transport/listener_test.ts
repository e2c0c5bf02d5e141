/**
 * Where a listener listens, what it refuses at once, and how it stops.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { dial } from "../../transport/dial.ts";
import { type Incoming, Listener } from "../../transport/listener.ts";
import { brought, developmentCertificates, Folder, projectPath, RUNNABLE } from "../programs.ts";
import {
  connectionFrom,
  dialOptions,
  End,
  HAS_UNIX_SOCKETS,
  listen,
  onEachWay,
  portOf,
} from "./ends.ts";

/** Ends each connection; resolves with the first. */
function first() {
  const { promise, resolve } = Promise.withResolvers<Incoming>();
  return {
    promise,
    accept: (incoming: Incoming) => {
      resolve(incoming);
      incoming.destroy();
    },
  };
}

onEachWay("Listener throws AddrInUse at once when the address is taken", async () => {
  using listener = listen(first().accept);
  const options = { hostname: "127.0.0.1", port: portOf(listener), reusePort: false, backlog: 511 };
  assertThrows(() => new Listener(options, first().accept), Deno.errors.AddrInUse);
  if (HAS_UNIX_SOCKETS) {
    await using folder = new Folder();
    const path = `${folder.path}/socket`;
    using _unix = listen(first().accept, { path });
    assertThrows(() => listen(first().accept, { path }), Deno.errors.AddrInUse);
  }
});

Deno.test({
  name: "Listener throws NotCapable at once without the permission",
  permissions: { net: ["127.0.0.1:1"] },
  fn() {
    assertThrows(() => listen(first().accept), Deno.errors.NotCapable);
    assertThrows(() => listen(first().accept, { hostname: "localhost" }), Deno.errors.NotCapable);
  },
});

Deno.test({
  name: "Listener throws at once when the host is unknown, or not of this machine",
  ignore: (await Deno.permissions.query({ name: "net" })).state !== "granted",
  fn() {
    assertThrows(() => listen(first().accept, { hostname: "no-such-host.invalid" }), Error);
    assertThrows(
      () => listen(first().accept, { hostname: "192.0.2.1" }),
      Deno.errors.AddrNotAvailable,
    );
  },
});

onEachWay(
  "Listener.addr tells the port it was given, and that of a name is the name's address",
  async () => {
    for (const hostname of ["127.0.0.1", "localhost"]) {
      const { promise, accept } = first();
      using listener = listen(accept, { hostname });
      const { port, transport, hostname: address } = listener.addr as Deno.NetAddr;
      assert(port > 0);
      assertEquals(transport, "tcp");
      assert(["127.0.0.1", "::1"].includes(address));
      const peer = await Deno.connect({ hostname: address, port });
      await (await promise).closed;
      peer.close();
    }
  },
);

onEachWay("Listener on :: accepts both families", async () => {
  let accepted = Promise.withResolvers<Incoming>();
  using listener = listen((incoming) => accepted.resolve(incoming), { hostname: "::" });
  for (const [hostname, expected] of [["127.0.0.1", /127\.0\.0\.1$/], ["::1", /^::1$/]] as const) {
    accepted = Promise.withResolvers();
    const peer = await Deno.connect({ hostname, port: portOf(listener) });
    const incoming = await accepted.promise;
    assert(expected.test((incoming.remoteAddr as Deno.NetAddr).hostname));
    incoming.destroy();
    await incoming.closed;
    peer.close();
  }
});

Deno.test({
  name: "Listener with reusePort shares its port with another, and each accepts",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const accepted = [0, 0];
    let some = Promise.withResolvers<void>();
    const accept = (number: number) => (incoming: Incoming) => {
      accepted[number]!++;
      incoming.destroy();
      some.resolve();
    };
    using one = listen(accept(0), { reusePort: true });
    using _other = listen(accept(1), { reusePort: true, port: portOf(one) });
    while (accepted.includes(0)) {
      some = Promise.withResolvers();
      const peer = await Deno.connect({ hostname: "127.0.0.1", port: portOf(one) });
      await some.promise;
      peer.close();
    }
  },
});

onEachWay(
  "Listener.close() accepts nothing more, and leaves the connections there are",
  async () => {
    const end = new End();
    const opened = Promise.withResolvers<void>();
    const listener = listen(async (incoming) => {
      end.connection = (await connectionFrom(incoming, end))!;
      end.connection.resume();
      opened.resolve();
    });
    const url = new URL(`ws://127.0.0.1:${portOf(listener)}/`);
    const client = new End();
    client.connection = await dial(url, await dialOptions(), client);
    client.connection.resume();
    await opened.promise;
    listener.close();
    await assertRejects(
      async () => await dial(url, await dialOptions(), new End()),
      Error,
      "connection refused",
    );
    await client.write(Uint8Array.of(1, 2, 3));
    assertEquals(await end.read(3), Uint8Array.of(1, 2, 3));
    // Its port can be had again.
    using _again = listen(first().accept, { port: Number(url.port) });
    for (const { connection, closed } of [client, end]) {
      connection.destroy();
      await closed;
    }
  },
);

Deno.test({
  name: "Listener.unref() lets the process end, and ref() keeps it alive",
  ignore: !RUNNABLE,
  async fn() {
    const url = (file: string) => JSON.stringify(`file://${projectPath(file)}`);
    const code = (then: string) => `
      const { Listener } = await import(${url("transport/listener.ts")});
      const listener = new Listener(
        { hostname: "127.0.0.1", port: 0, reusePort: false, backlog: 511 },
        (incoming) => incoming.destroy(),
      );
      ${then}
      console.log("port", listener.addr.port);
    `;
    const run = (then: string) =>
      new Deno.Command(Deno.execPath(), {
        args: ["eval", `--config=${projectPath("deno.json")}`, code(then)],
        stdout: "piped",
      }).spawn();
    const ended = await run("listener.unref();").output();
    assertEquals(ended.success, true);
    const alive = run("listener.unref(); listener.ref();");
    const reader = alive.stdout.getReader();
    const text = new TextDecoder().decode((await reader.read()).value);
    // It still accepts, after all else it had to do.
    const port = Number(text.split(" ")[1]);
    for (let i = 0; i < 3; i++) {
      using peer = await Deno.connect({ hostname: "127.0.0.1", port });
      assertEquals(await peer.read(new Uint8Array(1)).catch(() => null), null);
    }
    alive.kill("SIGKILL");
    await reader.cancel();
    await alive.status;
  },
});

onEachWay(
  "Listener.setCertificate() serves the new one, and keeps the old one for a bad pair",
  async () => {
    const old = await developmentCertificates();
    const renewed = await brought();
    const ends: End[] = [];
    using listener = listen(async (incoming) => {
      const end = new End();
      const connection = await connectionFrom(incoming, end);
      if (connection === undefined) return;
      end.connection = connection;
      ends.push(end);
      end.before.onBytes = (bytes) => void connection.write(bytes.slice());
      connection.resume();
    }, { pair: old });
    const url = new URL(`wss://127.0.0.1:${portOf(listener)}/`);
    const connected = async (ca: string) => {
      const end = new End();
      end.connection = await dial(url, await dialOptions({ caCerts: [ca] }), end);
      end.connection.resume();
      return end;
    };
    const speaks = async (end: End) => {
      await end.write(Uint8Array.of(7));
      assertEquals(await end.read(1), Uint8Array.of(7));
    };
    const before = await connected(old.ca);
    for (
      const pair of [
        { cert: old.cert, key: renewed.key },
        { cert: "no certificate", key: old.key },
        { cert: old.cert, key: "no key" },
        { cert: "", key: "" },
      ]
    ) {
      assertThrows(() => listener.setCertificate(pair), Deno.errors.InvalidData);
      assertThrows(() => listen(first().accept, { pair }), Deno.errors.InvalidData);
    }
    const kept = await connected(old.ca);
    await speaks(kept);
    listener.setCertificate(renewed);
    const after = await connected(renewed.ca);
    await assertRejects(() => connected(old.ca), Error, "UnknownIssuer");
    await speaks(after);
    await speaks(before);
    for (const { connection, closed } of [before, kept, after, ...ends]) {
      connection.destroy();
      await closed;
    }
  },
);

Deno.test("Listener lets go of the TLS handshake of a connection that is open", async () => {
  const { cert, key, ca } = await developmentCertificates();
  const opened = Promise.withResolvers<{ incoming: Incoming; isOpen: boolean }>();
  using listener = listen(async (incoming) => {
    const isOpen = await incoming.open(({ socket }) => {
      queueMicrotask(() => socket.emit("error", new Error("after the handshake")));
    });
    opened.resolve({ incoming, isOpen });
  }, { pair: { cert, key } });
  const peer = await Deno.connectTls({
    hostname: "127.0.0.1",
    port: portOf(listener),
    caCerts: [ca],
  });
  const { incoming, isOpen } = await opened.promise;
  assert(isOpen);
  assertEquals(incoming.failure, undefined);
  incoming.destroy();
  await incoming.closed;
  peer.close();
});
