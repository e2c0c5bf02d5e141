import { assertEquals, assertMatch } from "@std/assert";
import { WebSocket } from "../../mod.ts";
import { certificatesFolder, developmentCertificates } from "../programs.ts";
import { type Case, exchangeWith, NO_TAKEOVER, TAKEOVER } from "./exchange.ts";
import { compileGo, HAS_GORILLA } from "./go.ts";
import { OurEnd, type Peer, runProgram } from "./peer.ts";

const peer: Peer = {
  name: "gorilla",
  ignore: !HAS_GORILLA,
  run: async (orders) => runProgram(await compileGo("peer"), [], orders),
};

// gorilla keeps no context, whoever asks for what, and its client refuses a server that would.
const everywhere: Case[] = [
  { name: "defaults", agreed: NO_TAKEOVER, corner: true },
  { name: "takeover in vain", ours: TAKEOVER, agreed: NO_TAKEOVER },
  { name: "no compression", ours: false, agreed: undefined },
  { name: "no compression at the peer", theirs: false, agreed: undefined },
];

exchangeWith(peer, "server", {
  cases: [
    ...everywhere,
    {
      name: "9 bits, of which gorilla says nothing",
      ours: { clientMaxWindowBits: 9 },
      agreed: NO_TAKEOVER,
      shows: { clientMaxWindowBits: 9 },
      corner: true,
    },
  ],
});
exchangeWith(peer, "client", {
  cases: [
    ...everywhere,
    {
      name: "9 bits",
      ours: { serverMaxWindowBits: 9 },
      agreed: { ...NO_TAKEOVER, serverMaxWindowBits: 9 },
      corner: true,
    },
    // It does not offer client_max_window_bits: RFC 7692 section 7.1.2.2.
    { name: "9 bits in vain", ours: { clientMaxWindowBits: 9 }, agreed: NO_TAKEOVER },
  ],
});

Deno.test({
  name: "WebSocket refuses the server of gorilla, which ignores server_max_window_bits",
  ignore: peer.ignore,
  async fn() {
    await using folder = await certificatesFolder();
    const [cert, key] = ["crt", "key"].map((end) => `${folder.path}/certs/server.${end}`);
    await using server = await peer.run({
      role: "server",
      compression: {},
      cert: cert!,
      key: key!,
    });
    const port = /^port (\d+)$/.exec(await server.next())![1];
    const { ca } = await developmentCertificates();
    const ours = new OurEnd(
      new WebSocket(`wss://127.0.0.1:${port}/`, {
        caCerts: [ca],
        compression: { serverMaxWindowBits: 9 },
      }),
    );
    assertEquals((await ours.closed).code, 1006);
    assertMatch(ours.errors.join(), /server_max_window_bits must be at most 9/);
    assertMatch(await server.next(), /^open /);
    // RFC 6455 section 7.1.7 lets a client fail a handshake without a word.
    assertMatch(await server.next(), /^closed 10(06|10)/);
  },
});
