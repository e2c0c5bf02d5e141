/**
 * What every peer is put through, at both ends of the connection.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import type { CompressionOptions } from "../../mod.ts";
import {
  connectTo,
  type Pair,
  type PairOptions,
  type Peer,
  type PeerCompression,
  type Received,
} from "./peer.ts";

/** Sizes of messages in bytes: none, the bounds of each form of a frame's length, and large ones. */
export const SIZES = [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 1 << 24];

/** Bytes that hardly compress, always the same. */
function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** Words in no order, of characters of one to four bytes. */
const PROSE = (() => {
  const words = ["frame ", "mensagem ", "opção ", "compressão ", "€uro ", "context ", "🦕 "];
  return Array.from(noise(8192), (byte) => words[byte % words.length]).join("");
})();

/** A text of `size` bytes of UTF-8. */
function text(size: number): string {
  const bytes = new TextEncoder().encode(PROSE);
  const target = new Uint8Array(size);
  for (let at = 0; at < size; at += bytes.length) {
    target.set(bytes.subarray(0, Math.min(bytes.length, size - at)), at);
  }
  // A character that was cut at the end becomes letters.
  const end = target.findLastIndex((byte) => byte < 0x80) + 1;
  return new TextDecoder().decode(target.fill(0x78, end));
}

/** Bytes of which a quarter hardly compress, and the rest do. */
function bytes(size: number): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) target.set(noise(Math.min(size - at, 16_384)), at);
  return target;
}

/** A text and bytes of each size, made once. */
let messages: Received[] | undefined;

/** Compares without the difference being worked out, which takes minutes for a large one. */
function assertSame(actual: Received, expected: Received): void {
  const kind = (message: Received) =>
    `${typeof message === "string" ? "text" : "bytes"} of length ${message.length}`;
  assert(isSame(actual, expected), `expected ${kind(expected)}, got other ${kind(actual)}`);
}

function isSame(actual: Received, expected: Received): boolean {
  if (typeof actual === "string" || typeof expected === "string") return actual === expected;
  if (actual.length !== expected.length) return false;
  for (let i = 0; i < actual.length; i++) if (actual[i] !== expected[i]) return false;
  return true;
}

async function exchangeSizes({ ours }: Pair): Promise<void> {
  messages ??= SIZES.flatMap((size) => [text(size), bytes(size)]);
  for (const message of messages) assertSame(await ours.ask(message), message);
}

async function exchangeManyAtOnce({ ours }: Pair): Promise<void> {
  const messages = Array.from({ length: 64 }, (_, i) => i % 2 === 0 ? text(37 * i) : noise(41 * i));
  for (const message of messages) ours.socket.send(message);
  for (const message of messages) assertSame(await ours.next(), message);
}

/** The parameters of RFC 7692 section 7.1, each with its value. */
type Agreement = Required<Exclude<PeerCompression, false>>;

const DEFAULTS: Agreement = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15,
};

/** What a response's header agrees on. */
function agreement(extensions: string): Agreement | undefined {
  if (extensions === "") return undefined;
  const [name, ...params] = extensions.split(";").map((part) => part.trim());
  assertEquals(name, "permessage-deflate");
  const values = new Map(params.map((param) => param.split("=") as [string, string | undefined]));
  return {
    serverNoContextTakeover: values.has("server_no_context_takeover"),
    clientNoContextTakeover: values.has("client_no_context_takeover"),
    serverMaxWindowBits: Number(
      values.get("server_max_window_bits") ?? DEFAULTS.serverMaxWindowBits,
    ),
    clientMaxWindowBits: Number(
      values.get("client_max_window_bits") ?? DEFAULTS.clientMaxWindowBits,
    ),
  };
}

/** What a message and its echo cost on the wire. */
async function cost(
  { ours, wire }: Pair,
  message: Received,
): Promise<{ up: number; down: number }> {
  const { up, down } = wire;
  assertSame(await ours.ask(message), message);
  return { up: wire.up - up, down: wire.down - down };
}

/**
 * Shows by what passes over the wire that both ends do as agreed: that they compress, how far back a
 * repetition is found, and whether one is found in the message before.
 */
async function assertOnWire(pair: Pair, agreed: Agreement | undefined): Promise<void> {
  const plain = await cost(pair, text(16_384));
  // A repetition 4096 bytes back, where a window of 9 bits does not reach.
  const repetition = await cost(pair, new Uint8Array([...noise(4096), ...noise(4096)]));
  // And one that it does reach, in another message.
  await cost(pair, noise(200, 2));
  const again = await cost(pair, noise(200, 2));
  for (const way of ["up", "down"] as const) {
    if (agreed === undefined) {
      assertGreater(plain[way], 16_384);
      continue;
    }
    assertLess(plain[way], 8192);
    const end = way === "up" ? "client" : "server";
    if (agreed[`${end}MaxWindowBits`] < 12) assertGreater(repetition[way], 8192);
    else assertLess(repetition[way], 6144);
    if (agreed[`${end}NoContextTakeover`]) assertGreater(again[way], 200);
    else assertLess(again[way], 120);
  }
}

/** The end that is the peer's. */
type Role = PairOptions["role"];

/** One case of what is asked for and agreed. */
export interface Case {
  name: string;
  /** What our end asks for. @default {true} */
  ours?: boolean | CompressionOptions;
  /** What the peer asks for. @default {{}} */
  theirs?: PeerCompression;
  /** What is agreed, of the parameters that differ from RFC 7692's defaults. */
  agreed: Partial<Agreement> | undefined;
  /** What of it shows on the wire, where that differs. */
  shows?: Partial<Agreement>;
  /** Whether it is a corner of the matrix, worth messages of every size. */
  corner?: true;
}

export const TAKEOVER = { serverNoContextTakeover: false, clientNoContextTakeover: false };
export const NO_TAKEOVER = { serverNoContextTakeover: true, clientNoContextTakeover: true };
export const NINE_BITS = { serverMaxWindowBits: 9, clientMaxWindowBits: 9 };
const NEITHER = { ...NO_TAKEOVER, ...NINE_BITS };
/** The ends differ, so that what one agreed to cannot pass for what the other did. */
const SERVER_ALONE = { serverNoContextTakeover: true, serverMaxWindowBits: 9 };
const CLIENT_ALONE = { clientNoContextTakeover: true, clientMaxWindowBits: 9 };

/** For a peer that can do all of RFC 7692. */
function everyCase(): Case[] {
  return [
    { name: "takeover, 15 bits", agreed: {}, corner: true },
    {
      name: "takeover, 9 bits",
      ours: NINE_BITS,
      agreed: NINE_BITS,
      corner: true,
    },
    { name: "no takeover, 15 bits", ours: NO_TAKEOVER, agreed: NO_TAKEOVER, corner: true },
    { name: "no takeover, 9 bits", ours: NEITHER, agreed: NEITHER, corner: true },
    {
      name: "takeover, 9 bits, asked for by the peer",
      theirs: NINE_BITS,
      agreed: NINE_BITS,
    },
    {
      name: "no takeover, 15 bits, asked for by the peer",
      theirs: NO_TAKEOVER,
      agreed: NO_TAKEOVER,
    },
    {
      name: "the server alone limited",
      ours: SERVER_ALONE,
      agreed: SERVER_ALONE,
    },
    {
      name: "the client alone limited, asked for by the peer",
      theirs: CLIENT_ALONE,
      agreed: CLIENT_ALONE,
    },
    { name: "no compression", ours: false, agreed: undefined },
    { name: "no compression at the peer", theirs: false, agreed: undefined },
  ];
}

/** What a peer cannot do. */
export interface Abilities {
  /** What is asked for and agreed: all of RFC 7692 unless given. */
  cases?: Case[];
  /** Whether it can send text that is not UTF-8. @default {true} */
  invalid?: boolean;
  /** Whether it can close without a code. @default {true} */
  closeWithoutCode?: boolean;
}

/** Registers the tests of our end with `peer` in one of the roles. */
export function exchangeWith(
  peer: Peer,
  role: Role,
  { cases = everyCase(), invalid = true, closeWithoutCode = true }: Abilities = {},
): void {
  const subject = role === "server" ? "WebSocket" : "upgradeWebSocket()";
  const test = (
    what: string,
    body: (pair: Pair) => Promise<void>,
    options: Omit<PairOptions, "role"> = {},
  ) =>
    Deno.test({
      name: `${subject} talks to the ${role} of ${peer.name}: ${what}`,
      ignore: peer.ignore,
      async fn() {
        await using pair = await connectTo(peer, { role, ...options });
        await body(pair);
      },
    });

  for (const { name, agreed, shows, corner, ...asked } of cases) {
    test(name, async (pair) => {
      const whole = agreed && { ...DEFAULTS, ...agreed };
      assertEquals(agreement(pair.extensions), whole);
      assertEquals(agreement(pair.ours.socket.extensions), whole);
      await assertOnWire(pair, whole && { ...whole, ...shows });
      await exchangeManyAtOnce(pair);
      if (corner) await exchangeSizes(pair);
    }, asked);
  }

  for (const ours of [true, false]) {
    test(`fragmented messages, compression ${ours ? "on" : "off"}`, async ({ ours }) => {
      for (const piece of ["compressão ", PROSE]) {
        assertSame(await ours.ask(`!fragments 5 ${piece}`), piece.repeat(5));
      }
    }, { ours });
  }

  test("Ping and Pong", async ({ ours }) => {
    assertEquals(await ours.ask("!ping data"), "pong data");
    assertGreater(await ours.socket.ping("data"), 0);
    assertGreater(await ours.socket.ping(), 0);
  });

  for (const code of closeWithoutCode ? [1000, 1005, 4999] : [1000, 4999]) {
    test(`closed by the peer with ${code}`, async ({ ours, peerSays }) => {
      const reason = code === 1005 ? "" : "opção";
      ours.socket.send(`!close ${code} ${reason}`);
      const event = await ours.closed;
      assertEquals([event.code, event.reason, event.wasClean], [code, reason, true]);
      assertEquals(ours.errors, []);
      assertEquals((await peerSays()).split(" ", 2), ["closed", `${code}`]);
    });
  }

  // Only a server may say that it goes away.
  for (const code of role === "server" ? [1000, 4999] : [1000, 1001, 4999]) {
    test(`closed by our end with ${code}`, async ({ ours, peerSays }) => {
      const event = await ours.end(code, "opção");
      assertEquals([event.code, event.wasClean], [code, true]);
      assertEquals(ours.errors, []);
      assertEquals(await peerSays(), `closed ${code} opção`);
    });
  }

  test("closed by our end without a code", async ({ ours, peerSays }) => {
    ours.socket.close();
    const event = await ours.closed;
    assertEquals([event.code, event.reason, event.wasClean], [1005, "", true]);
    assertEquals(await peerSays(), "closed 1005");
  });

  test("cut off by the peer", async ({ ours }) => {
    ours.socket.send("!drop");
    const event = await ours.closed;
    assertEquals([event.code, event.reason, event.wasClean], [1006, "", false]);
    assertEquals(ours.errors.length, 1);
  });

  test("cut off by our end", async ({ ours, peerSays }) => {
    ours.socket.terminate();
    const event = await ours.closed;
    assertEquals([event.code, event.wasClean], [1006, false]);
    assertMatch(await peerSays(), /^closed 1006/);
  });

  test("a message over the limit", async ({ ours, peerSays }) => {
    assertEquals(await ours.ask("x".repeat(1000)), "x".repeat(1000));
    ours.socket.send("x".repeat(1001));
    const event = await ours.closed;
    assertEquals([event.code, event.wasClean], [1006, false]);
    assertMatch(await peerSays(), /^closed 1009 /);
  }, { maxMessageSize: 1000 });

  if (invalid) {
    test("text that is not UTF-8", async ({ ours, peerSays }) => {
      ours.socket.send("!invalid");
      const event = await ours.closed;
      assertEquals([event.code, event.wasClean], [1006, false]);
      assertMatch(await peerSays(), /^closed 1007 /);
    });
  }
}
