import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import { deflateRawSync } from "node:zlib";
import { GrowingBuffer } from "../../protocol/buffer.ts";
import { parseExtensions } from "../../protocol/extension_header.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import {
  acceptOffer,
  type Agreement,
  checkResponse,
  formatOffer,
} from "../../protocol/permessage_deflate/negotiation.ts";
import {
  type CompressionOptions,
  compressionSettings,
} from "../../protocol/permessage_deflate/options.ts";
import {
  contextCount,
  Inflater,
  type PerMessageDeflate,
  releaseIdleContexts,
  setContextBudget,
} from "../../protocol/permessage_deflate/codec.ts";
import {
  agreement,
  bytesOf,
  codec,
  concat,
  deflated,
  hex,
  NO_CONTEXT,
  type Payload,
  randomBytes,
  roles,
  ZlibPeer,
} from "./driver.ts";

// Options

Deno.test("compressionSettings() fills in the defaults", () => {
  const defaults = {
    level: 1,
    memLevel: 8,
    threshold: 64,
    serverMaxWindowBits: 15,
    clientMaxWindowBits: 15,
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
  };
  for (const options of [true, {}]) assertEquals(compressionSettings(options), defaults);
  assertEquals(compressionSettings(false), undefined);
  const all: Required<CompressionOptions> = {
    level: 9,
    memLevel: 1,
    threshold: 0,
    serverMaxWindowBits: 9,
    clientMaxWindowBits: 10,
    serverNoContextTakeover: true,
    clientNoContextTakeover: false,
  };
  assertEquals(compressionSettings(all), all);
});

Deno.test("compressionSettings() refuses numbers out of range", () => {
  const ranges = {
    level: [1, 9],
    memLevel: [1, 9],
    threshold: [0, Number.MAX_SAFE_INTEGER],
    serverMaxWindowBits: [9, 15],
    clientMaxWindowBits: [9, 15],
  } as const;
  for (const [name, [min, max]] of Object.entries(ranges)) {
    for (const value of [min, max]) {
      const settings = compressionSettings({ [name]: value })!;
      assertEquals(settings[name as keyof typeof ranges], value);
    }
    for (const value of [min - 1, max + 1, min + 0.5, NaN, "9" as unknown as number]) {
      const error = assertThrows(
        () => compressionSettings({ [name]: value }),
        RangeError,
      );
      assertEquals(
        error.message,
        `Cannot set up compression: ${name} is ${value}, must be a whole number from ${min} to ${max}`,
      );
    }
  }
});

// Negotiation, the server's side

function settingsOf(options: CompressionOptions) {
  return compressionSettings(options)!;
}

/** What a server answers to the offers in a header. */
function answer(header: string, options: CompressionOptions = {}) {
  return acceptOffer(parseExtensions(header)!, settingsOf(options));
}

Deno.test("acceptOffer() answers each parameter (RFC 7692 sections 7.1.1 and 7.1.2)", () => {
  const cases: [offer: string, response: string, agreed: Partial<Agreement>][] = [
    ["", "", {}],
    ["; server_no_context_takeover", "; server_no_context_takeover", {
      serverNoContextTakeover: true,
    }],
    ["; client_no_context_takeover", "; client_no_context_takeover", {
      clientNoContextTakeover: true,
    }],
    ["; server_max_window_bits=9", "; server_max_window_bits=9", { serverMaxWindowBits: 9 }],
    ["; server_max_window_bits=15", "; server_max_window_bits=15", {}],
    ["; client_max_window_bits", "", {}],
    ["; client_max_window_bits=15", "", {}],
    ["; client_max_window_bits=8", "; client_max_window_bits=8", { clientMaxWindowBits: 8 }],
    ["; client_max_window_bits=14", "; client_max_window_bits=14", { clientMaxWindowBits: 14 }],
    [
      "; client_max_window_bits=12; server_max_window_bits=10; client_no_context_takeover; server_no_context_takeover",
      "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12",
      { ...NO_CONTEXT, serverMaxWindowBits: 10, clientMaxWindowBits: 12 },
    ],
  ];
  for (const [offer, response, agreed] of cases) {
    assertEquals(answer(`permessage-deflate${offer}`), {
      agreement: agreement(agreed),
      response: `permessage-deflate${response}`,
    }, offer);
  }
});

Deno.test("acceptOffer() adds what the server wants by itself (RFC 7692 sections 7.1.1 and 7.1.2)", () => {
  const own = {
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    serverMaxWindowBits: 11,
    clientMaxWindowBits: 12,
  };
  // RFC 7692 section 7.1.2.2: who does not offer client_max_window_bits is not asked.
  assertEquals(answer("permessage-deflate", own), {
    agreement: { ...own, clientMaxWindowBits: 15 },
    response:
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11",
  });
  assertEquals(answer("permessage-deflate; client_max_window_bits", own), {
    agreement: own,
    response:
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
  });
});

Deno.test("acceptOffer() agrees to the smaller of two windows (RFC 7692 sections 7.1.2.1 and 7.1.2.2)", () => {
  for (let offered = 8; offered <= 15; offered++) {
    for (let own = 9; own <= 15; own++) {
      const server = answer(`permessage-deflate; server_max_window_bits=${offered}`, {
        serverMaxWindowBits: own,
      });
      const smaller = Math.min(offered, own);
      // zlib has no window of 8 bits to compress with: the offer is declined, not faked.
      assertEquals(
        server?.response,
        offered === 8 ? undefined : `permessage-deflate; server_max_window_bits=${smaller}`,
      );
      if (server) assertEquals(server.agreement, agreement({ serverMaxWindowBits: smaller }));

      const client = answer(`permessage-deflate; client_max_window_bits=${offered}`, {
        clientMaxWindowBits: own,
      });
      assertEquals(
        client?.response,
        `permessage-deflate${smaller < 15 ? `; client_max_window_bits=${smaller}` : ""}`,
      );
      assertEquals(client?.agreement, agreement({ clientMaxWindowBits: smaller }));
    }
  }
});

/** Parameters that RFC 7692 section 7.1 has both sides refuse. */
const FAULTY_PARAMS = [
  "unknown",
  "unknown=1",
  "Server_no_context_takeover",
  "__proto__",
  "constructor",
  "toString",
  "server_no_context_takeover=1",
  "client_no_context_takeover=true",
  "server_no_context_takeover; server_no_context_takeover",
  "client_no_context_takeover; client_no_context_takeover",
  "server_max_window_bits",
  ...["server", "client"].flatMap((side) => [
    ...["7", "16", "0", "08", "010", "+9", "9.0", "x", "1", "150"].map((value) =>
      `${side}_max_window_bits=${value}`
    ),
    `${side}_max_window_bits=10; ${side}_max_window_bits=10`,
    `${side}_max_window_bits=10; client_no_context_takeover; ${side}_max_window_bits=11`,
  ]),
  "client_max_window_bits; client_max_window_bits=10",
  "client_max_window_bits; client_max_window_bits",
];

Deno.test("acceptOffer() declines unknown, repeated and out-of-range parameters (RFC 7692 section 7.1)", () => {
  for (const params of FAULTY_PARAMS) {
    assertEquals(answer(`permessage-deflate; ${params}`), undefined, params);
    // RFC 7692 section 5.1: the next offer is tried.
    assertEquals(
      answer(`permessage-deflate; ${params}, permessage-deflate; client_no_context_takeover`)
        ?.response,
      "permessage-deflate; client_no_context_takeover",
      params,
    );
  }
});

Deno.test("acceptOffer() takes the first offer that it can honour (RFC 7692 section 5.1)", () => {
  const first = "permessage-deflate; server_max_window_bits=10";
  const second = "permessage-deflate; server_max_window_bits=12";
  assertEquals(answer(`${first}, ${second}`)?.response, first);
  assertEquals(answer(`${second}, ${first}`)?.response, second);
  assertEquals(
    answer(`permessage-bzip2; a=1, x-webkit-deflate-frame, ${second}`)?.response,
    second,
  );
  assertEquals(
    answer(`permessage-deflate; server_max_window_bits=8, ${second}, ${first}`)?.response,
    second,
  );
});

Deno.test("acceptOffer() declines when there is no offer of it (RFC 6455 section 9.1)", () => {
  const names = ["permessage-bzip2", "deflate", "PERMESSAGE-DEFLATE"];
  // What every object has a property of.
  const inherited = ["constructor", "toString", "__proto__", "hasOwnProperty"];
  for (
    const header of [
      "",
      ...names,
      ...inherited,
      ...inherited.map((name) => `${name}; ${name}`),
    ]
  ) {
    assertEquals(answer(header), undefined, header);
  }
});

Deno.test("acceptOffer() takes quoted values (RFC 7692 section 5.2)", () => {
  assertEquals(
    answer('permessage-deflate; server_max_window_bits="10"')?.response,
    "permessage-deflate; server_max_window_bits=10",
  );
  assertEquals(answer('permessage-deflate; server_max_window_bits="8"'), undefined);
});

// Negotiation, the client's side

Deno.test("formatOffer() offers what the client can (RFC 7692 section 7.1)", () => {
  const offer = (options: CompressionOptions) => formatOffer(settingsOf(options));
  assertEquals(offer({}), "permessage-deflate; client_max_window_bits");
  assertEquals(
    offer({
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
      serverMaxWindowBits: 9,
      clientMaxWindowBits: 14,
    }),
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=14",
  );
});

/** What a client agrees to on a response. */
function check(header: string, options: CompressionOptions = {}) {
  return checkResponse(parseExtensions(header)!, settingsOf(options));
}

/** The code with which a client refuses a response. */
function refusal(header: string, options: CompressionOptions | null = {}): number {
  const settings = options === null ? undefined : settingsOf(options);
  const error = assertThrows(
    () => checkResponse(parseExtensions(header)!, settings),
    ProtocolError,
  );
  assert(error.message.startsWith("Cannot agree on extensions: server answered "), error.message);
  return error.code;
}

Deno.test("checkResponse() agrees to what may answer the offer (RFC 7692 section 7.1)", () => {
  const cases: [response: string, agreed: Partial<Agreement>][] = [
    ["", {}],
    // RFC 7692 sections 7.1.1 and 7.1.2: all of these may come unasked.
    ["; server_no_context_takeover", { serverNoContextTakeover: true }],
    ["; client_no_context_takeover", { clientNoContextTakeover: true }],
    ["; server_no_context_takeover; client_no_context_takeover", NO_CONTEXT],
    ["; server_max_window_bits=8", { serverMaxWindowBits: 8 }],
    ["; server_max_window_bits=15", {}],
    ["; client_max_window_bits=8", { clientMaxWindowBits: 8 }],
    ['; client_max_window_bits="10"', { clientMaxWindowBits: 10 }],
  ];
  for (const [response, agreed] of cases) {
    assertEquals(check(`permessage-deflate${response}`), agreement(agreed), response);
  }
});

Deno.test("checkResponse() holds the server to the client's offer (RFC 7692 sections 7.1.1.1, 7.1.2.1 and 7.1.2.2)", () => {
  const server = { serverMaxWindowBits: 10 };
  assertEquals(check("permessage-deflate; server_max_window_bits=10", server), agreement(server));
  assertEquals(
    check("permessage-deflate; server_max_window_bits=9", server),
    agreement({ serverMaxWindowBits: 9 }),
  );
  assertEquals(refusal("permessage-deflate; server_max_window_bits=11", server), 1010);
  assertEquals(refusal("permessage-deflate", server), 1010);

  const client = { clientMaxWindowBits: 10 };
  assertEquals(check("permessage-deflate; client_max_window_bits=10", client), agreement(client));
  assertEquals(check("permessage-deflate", client), agreement(client));
  assertEquals(refusal("permessage-deflate; client_max_window_bits=11", client), 1010);

  const fresh = { serverNoContextTakeover: true };
  assertEquals(check("permessage-deflate; server_no_context_takeover", fresh), agreement(fresh));
  assertEquals(refusal("permessage-deflate", fresh), 1010);

  // RFC 7692 section 7.1.1.2: the client's own word is only a hint to the server; it is kept all the same.
  const own = { clientNoContextTakeover: true };
  assertEquals(check("permessage-deflate", own), agreement(own));
});

Deno.test("checkResponse() refuses unknown, repeated and out-of-range parameters (RFC 7692 section 7.1)", () => {
  for (const params of FAULTY_PARAMS) {
    assertEquals(refusal(`permessage-deflate; ${params}`), 1010, params);
  }
  // RFC 7692 section 7.1.2.2: in a response, the parameter has a value.
  assertEquals(refusal("permessage-deflate; client_max_window_bits"), 1010);
});

Deno.test("checkResponse() refuses an extension that was not offered (RFC 6455 section 9.1)", () => {
  assertEquals(refusal("permessage-deflate", null), 1010);
  assertEquals(refusal("permessage-bzip2"), 1010);
  assertEquals(refusal("permessage-deflate, permessage-deflate"), 1010);
  assertEquals(refusal("permessage-deflate, permessage-bzip2"), 1010);
  assertEquals(refusal("x, permessage-deflate"), 1010);
});

Deno.test("checkResponse() takes no extension for no compression (RFC 7692 section 5)", () => {
  assertEquals(check(""), undefined);
  assertEquals(check("", { serverMaxWindowBits: 9, serverNoContextTakeover: true }), undefined);
  assertEquals(checkResponse([], undefined), undefined);
});

const windowBits = fc.integer({ min: 9, max: 15 });
const compressionOptions: fc.Arbitrary<CompressionOptions> = fc.record({
  serverMaxWindowBits: windowBits,
  clientMaxWindowBits: windowBits,
  serverNoContextTakeover: fc.boolean(),
  clientNoContextTakeover: fc.boolean(),
}, { requiredKeys: [] });

Deno.test("checkResponse() agrees with acceptOffer(), whatever both sides are set to", () => {
  fc.assert(
    fc.property(compressionOptions, compressionOptions, (ofClient, ofServer) => {
      const client = settingsOf(ofClient);
      const server = settingsOf(ofServer);
      const accepted = acceptOffer(parseExtensions(formatOffer(client))!, server)!;
      assertEquals(checkResponse(parseExtensions(accepted.response)!, client), accepted.agreement);
      const { agreement } = accepted;
      // Neither side does less than it asked for.
      assert(agreement.serverMaxWindowBits <= client.serverMaxWindowBits);
      assert(agreement.serverMaxWindowBits <= server.serverMaxWindowBits);
      assert(agreement.clientMaxWindowBits <= client.clientMaxWindowBits);
      assert(agreement.clientMaxWindowBits <= server.clientMaxWindowBits);
      for (const name of ["serverNoContextTakeover", "clientNoContextTakeover"] as const) {
        assertEquals(agreement[name], client[name] || server[name]);
      }
    }),
    { numRuns: 500 },
  );
});

// Codec

function compress(deflate: PerMessageDeflate, payload: Payload): Uint8Array<ArrayBuffer> {
  const target = new GrowingBuffer();
  deflate.deflate(bytesOf(payload), target);
  return target.take();
}

/** Text that repeats itself, as messages do. */
const TEXT = JSON.stringify({ type: "event", user: "someone", values: [1, 2, 3], text: "hello" });

Deno.test("PerMessageDeflate.deflate leaves the tail out (RFC 7692 section 7.2.1)", async () => {
  for (const agreed of [{}, NO_CONTEXT]) {
    const own = codec("server", agreed);
    using peer = new ZlibPeer();
    for (const text of ["Hello", TEXT, "x".repeat(70_000)]) {
      const bytes = compress(own, text);
      assert(
        !/00,00,ff,ff$/.test([...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join()),
      );
      // The peer appends the tail, and then has it all: nothing is held back.
      assertEquals(await peer.decompress(bytes), bytesOf(text));
    }
    own.close();
  }
});

Deno.test("PerMessageDeflate.deflate gives an empty block for an empty message (RFC 7692 section 7.2.3.6)", () => {
  for (const agreed of [{}, NO_CONTEXT]) {
    const own = codec("server", agreed);
    assertEquals(compress(own, ""), hex("00"));
    compress(own, TEXT);
    assertEquals(compress(own, ""), hex("00"));
    own.close();
  }
});

Deno.test("PerMessageDeflate.deflate keeps its context where it may (RFC 7692 section 7.1.1)", async () => {
  for (const role of roles) {
    const own = codec(role);
    using peer = new ZlibPeer();
    const sizes: number[] = [];
    for (let i = 0; i < 3; i++) {
      const bytes = compress(own, TEXT);
      sizes.push(bytes.length);
      assertEquals(await peer.decompress(bytes), bytesOf(TEXT));
    }
    assertLess(sizes[1]!, sizes[0]! / 2);
    assertLess(sizes[2]!, sizes[0]! / 2);
    own.close();
  }
});

Deno.test("PerMessageDeflate.deflate keeps none where it may not (RFC 7692 sections 7.1.1.1 and 7.1.1.2)", () => {
  for (const role of roles) {
    const own = codec(role, {
      serverNoContextTakeover: role === "server",
      clientNoContextTakeover: role === "client",
    });
    const first = compress(own, TEXT);
    for (let i = 0; i < 3; i++) assertEquals(compress(own, TEXT), first);
    // It stands alone.
    assertEquals(inflate(first), bytesOf(TEXT));
    own.close();
  }
});

/** What a new decompressor of a peer makes of one message. */
function inflate(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const inflater = new Inflater(15);
  const output = new Uint8Array(1 << 20);
  let length = 0;
  const pull = () => {
    while (!inflater.done) length += inflater.pull(output, length);
  };
  inflater.push(bytes, 0, bytes.length);
  pull();
  inflater.pushTail();
  pull();
  inflater.close();
  return output.slice(0, length);
}

Deno.test("PerMessageDeflate.deflate refers no farther back than the agreed window (RFC 7692 section 7.1.2)", async () => {
  const random = randomBytes(150);
  for (const role of roles) {
    for (let bits = 9; bits <= 15; bits++) {
      for (const fresh of [false, true]) {
        const own = codec(role, {
          serverNoContextTakeover: fresh,
          clientNoContextTakeover: fresh,
          [`${role}MaxWindowBits`]: bits,
        }, { level: 9 });
        using peer = new ZlibPeer({ inflate: bits });
        // The same bytes again just beyond each window there is.
        const message = concat(
          ...[9, 10, 11, 12, 13, 14, 15].flatMap((other) => [
            random,
            randomBytes(2 ** other - random.length + 1),
          ]),
          random,
        );
        for (let i = 0; i < 2; i++) {
          assertEquals(await peer.decompress(compress(own, message)), message, `${bits} bits`);
        }
        own.close();
      }
    }
  }
});

Deno.test("PerMessageDeflate.deflate finds what is within the agreed window (RFC 7692 section 7.1.2)", () => {
  const random = randomBytes(100);
  const far = concat(random, new Uint8Array(20_000), random);
  const small = codec("server", { serverMaxWindowBits: 9 }, { level: 9 });
  const large = codec("server", { serverMaxWindowBits: 15 }, { level: 9 });
  assertGreater(compress(small, far).length, compress(large, far).length + 50);
  small.close();
  large.close();
});

Deno.test("PerMessageDeflate.deflate takes each level and memLevel, and data that cannot be compressed", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      windowBits,
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(40_000), fc.constantFrom(1, 3, 256)), {
        minLength: 1,
        maxLength: 3,
      }),
      (level, memLevel, bits, fresh, messages) => {
        const agreed = { serverMaxWindowBits: bits, serverNoContextTakeover: fresh };
        const server = codec("server", agreed, { level, memLevel });
        const client = codec("client", agreed);
        const output = new Uint8Array(64 * 1024);
        for (const [size, letters] of messages) {
          const message = randomBytes(size).map((byte) => byte % letters);
          const target = new GrowingBuffer();
          target.append(Uint8Array.of(1, 2, 3));
          server.deflate(message, target);
          const { inflater } = client;
          inflater.push(target.bytes, 3, target.length);
          let length = 0;
          while (!inflater.done) length += inflater.pull(output, length);
          assertEquals(length, size);
          inflater.pushTail();
          while (!inflater.done) assertEquals(inflater.pull(output, length), 0);
          assertEquals(output.slice(0, length), message);
          client.endMessage();
        }
        server.close();
        client.close();
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("PerMessageDeflate.deflate writes all of what needs more room than it has", () => {
  // With the least memory zlib stores 127 bytes a block, and takes 5 more for each.
  for (const size of [17_000, 60_000, 200_000]) {
    const own = codec("server", { serverMaxWindowBits: 9 }, { memLevel: 1 });
    for (let i = 0; i < 2; i++) {
      const message = randomBytes(size);
      const bytes = compress(own, message);
      assertGreater(bytes.length, size * 1.02);
      assertEquals(inflate(bytes), message);
    }
    own.close();
  }
});

Deno.test("PerMessageDeflate.memLevel trades memory for size", () => {
  const message = Array.from({ length: 3000 }, (_, i) => `${TEXT}${i * 7919 % 1000}`).join();
  const [small, large] = [1, 9].map((memLevel) => {
    const own = codec("server", {}, { memLevel, level: 6 });
    const { length } = compress(own, message);
    own.close();
    return length;
  });
  assertLess(large!, small!);
});

Deno.test("PerMessageDeflate.level trades time for size", () => {
  const message = Array.from({ length: 300 }, (_, i) => `${TEXT}${i * 7919 % 1000}`).join();
  const sizes = [1, 6].map((level) =>
    compress(codec("server", NO_CONTEXT, { level }), message).length
  );
  assertLess(sizes[1]!, sizes[0]!);
});

Deno.test("PerMessageDeflate.threshold is infinite where the agreed window is too small for zlib", () => {
  assertEquals(codec("client", {}, { threshold: 7 }).threshold, 7);
  assertEquals(codec("client", { clientMaxWindowBits: 9 }, { threshold: 7 }).threshold, 7);
  assertEquals(codec("client", { clientMaxWindowBits: 8 }, { threshold: 7 }).threshold, Infinity);
  // The peer's window is the peer's affair.
  assertEquals(codec("client", { serverMaxWindowBits: 8 }, { threshold: 7 }).threshold, 7);
});

Deno.test("PerMessageDeflate.key is that of what compresses alike", () => {
  const keys = [
    codec("server", {}, {}),
    codec("server", {}, { level: 2 }),
    codec("server", {}, { memLevel: 2 }),
    codec("server", { serverMaxWindowBits: 9 }, {}),
    codec("client", { clientMaxWindowBits: 10 }, {}),
  ].map(({ key }) => key);
  assertEquals(new Set(keys).size, keys.length);
  assertEquals(codec("server", NO_CONTEXT).key, keys[0]);
  assertEquals(codec("client", { serverMaxWindowBits: 9 }).key, keys[0]);
});

Deno.test("PerMessageDeflate.deflateAlone leaves nothing for the next of its kind", () => {
  const one = codec("server", NO_CONTEXT);
  const other = codec("client", NO_CONTEXT);
  const first = compress(one, TEXT);
  assertEquals(compress(other, TEXT), first);
  assertEquals(inflate(compress(one, TEXT)), bytesOf(TEXT));
});

Deno.test("PerMessageDeflate.forgetSent starts a new context that the peer need not know of", async () => {
  const own = codec("server");
  using peer = new ZlibPeer();
  const first = compress(own, TEXT);
  await peer.decompress(first);
  own.forgetSent();
  const second = compress(own, TEXT);
  assertEquals(second.length, first.length);
  assertEquals(await peer.decompress(second), bytesOf(TEXT));
  assertLess(compress(own, TEXT).length, first.length);
  own.close();
});

const LONG = Array.from({ length: 400 }, (_, i) => `{"id":${i * 7919 % 400},"é":"${i}"}`).join();

/** A time that tests set. No earlier than that of any other test, as the pool is the same. */
let time = performance.now() + 1_000_000;

function timed(address?: string, options: CompressionOptions = {}): PerMessageDeflate {
  return codec("server", {}, options, address, () => time);
}

Deno.test("releaseIdleContexts() gives back what was not used for ten seconds", async () => {
  assertEquals(contextCount(), 0);
  const idle = timed();
  const busy = timed();
  const none = codec("server", NO_CONTEXT);
  using peer = new ZlibPeer();
  const first = compress(idle, TEXT);
  await peer.decompress(first);
  compress(busy, TEXT);
  compress(none, TEXT);
  assertEquals(contextCount(), 2);
  time += 9999;
  releaseIdleContexts(time);
  compress(busy, TEXT);
  assertEquals(contextCount(), 2);
  time += 1;
  releaseIdleContexts(time);
  assertEquals(contextCount(), 1);
  assertLess(compress(busy, TEXT).length, first.length / 2);

  // The one that was given back goes on with a new context, which its peer need not know of.
  const next = compress(idle, TEXT);
  assertEquals(next.length, first.length);
  assertEquals(await peer.decompress(next), bytesOf(TEXT));
  assertEquals(contextCount(), 2);

  busy.releaseContext();
  assertEquals(contextCount(), 1);
  idle.close();
  assertEquals(contextCount(), 0);
  none.close();
});

Deno.test("PerMessageDeflate.deflate takes the context of another once 128 connections hold one", () => {
  const holders = Array.from({ length: 128 }, () => timed());
  for (const holder of holders) compress(holder, TEXT);
  assertEquals(contextCount(), 128);
  const late = timed();
  // All were used a moment ago.
  const alone = compress(late, TEXT);
  assertEquals(compress(late, TEXT), alone);
  assertEquals(inflate(alone), bytesOf(TEXT));
  assertEquals(contextCount(), 128);
  // Those that hold one go on.
  assertLess(compress(holders[1]!, TEXT).length, alone.length / 2);

  holders[0]!.close();
  compress(late, TEXT);
  assertEquals(contextCount(), 128);
  assertLess(compress(late, TEXT).length, alone.length / 2);

  // A second later, the least recently used gives way.
  time += 1000;
  const later = timed();
  for (let i = 0; i < 2; i++) compress(later, TEXT);
  assertEquals(contextCount(), 128);
  assertLess(compress(later, TEXT).length, alone.length / 2);
  assertEquals(compress(holders[2]!, TEXT).length, alone.length);
  for (const holder of [late, later, ...holders]) holder.close();
  assertEquals(contextCount(), 0);
});

Deno.test("PerMessageDeflate.address has no more than half of the contexts", () => {
  const flood = Array.from({ length: 200 }, () => timed("192.0.2.1"));
  for (const one of flood) compress(one, TEXT);
  assertEquals(contextCount(), 64);
  const other = timed("192.0.2.2");
  compress(other, TEXT);
  assertEquals(contextCount(), 65);
  // A flood that goes on takes contexts from itself alone.
  for (let round = 0; round < 3; round++) {
    time += 1000;
    for (const one of flood) compress(one, TEXT);
  }
  assertEquals(contextCount(), 65);
  assertLess(compress(other, TEXT).length, compress(flood[199]!, `${TEXT}!`).length / 2);
  for (const one of [other, ...flood]) one.close();
  assertEquals(contextCount(), 0);
});

Deno.test("setContextBudget() sets how many contexts there are", () => {
  const holders = Array.from({ length: 5 }, () => timed());
  setContextBudget(3 * 300 * 1024);
  for (const holder of holders) compress(holder, TEXT);
  assertEquals(contextCount(), 3);
  setContextBudget(0);
  time += 1000;
  const none = timed();
  compress(none, TEXT);
  assertEquals(compress(none, TEXT).length, compress(codec("server", NO_CONTEXT), TEXT).length);
  setContextBudget(128 * 300 * 1024);
  for (const holder of [none, ...holders]) holder.close();
  assertEquals(contextCount(), 0);
});

Deno.test("PerMessageDeflate keeps no context for what does not get smaller, and tries again later", () => {
  const own = timed();
  let compressed = 0;
  for (let i = 0; i < 400; i++) {
    const message = randomBytes(300);
    if (!own.compresses(message.length)) continue;
    compressed++;
    assertEquals(inflate(compress(own, message)), message);
    own.forgetSent();
  }
  // The first 16, 16 after a pause of 64, 16 after 128; then there is one of 256.
  assertEquals(compressed, 48);
  assertEquals(contextCount(), 0);

  // What gets smaller again is compressed after the pause.
  let waited = 0;
  for (; !own.compresses(TEXT.length); waited++);
  assertLess(waited, 257);
  for (let i = 0; i < 100; i++) {
    assert(own.compresses(TEXT.length));
    compress(own, TEXT);
  }
  assertEquals(contextCount(), 1);
  own.close();
});

Deno.test("PerMessageDeflate.beginLong keeps its compressor to the message's end when the context is taken away", async () => {
  const text = LONG.repeat(20);
  const bytes = bytesOf(text);
  for (const lost of ["budget", "idle", "close"]) {
    const own = timed();
    using peer = new ZlibPeer();
    await peer.decompress(compress(own, LONG));
    const target = new GrowingBuffer();
    const deflater = own.beginLong();
    deflater.deflatePart(bytes, 0, 1000, false, target);
    if (lost === "close") own.close();
    else if (lost === "idle") releaseIdleContexts(time += 10_000);
    else {
      time += 1000;
      setContextBudget(300 * 1024);
      compress(timed(), LONG);
      setContextBudget(128 * 300 * 1024);
      releaseIdleContexts(time + 10_000);
    }
    assertEquals(contextCount(), 0);
    deflater.deflatePart(bytes, 1000, bytes.length, true, target);
    own.endLong(bytes.length, target.length);
    const whole = await peer.decompress(target.bytes.slice(0, target.length));
    assertEquals(new TextDecoder().decode(whole), text, lost);
    // What follows starts anew.
    assertEquals(await peer.decompress(compress(own, LONG)), bytesOf(LONG));
    own.close();
  }
  assertEquals(contextCount(), 0);
});

Deno.test("PerMessageDeflate.inflater is one for each message where no context is kept", () => {
  const one = codec("server", NO_CONTEXT);
  const other = codec("server", NO_CONTEXT);
  const first = one.inflater;
  assert(one.inflater === first);
  assert(other.inflater !== first);
  one.endMessage();
  // Given back, it serves the next message of anybody.
  const third = codec("client", NO_CONTEXT);
  assert(third.inflater === first);
  third.endMessage();
  other.endMessage();
  other.endMessage();

  const keeping = codec("server");
  const own = keeping.inflater;
  keeping.endMessage();
  assert(keeping.inflater === own);
  for (const each of [one, other, third, keeping]) each.close();
});

Deno.test("PerMessageDeflate.inflater starts each message anew where no context is kept (RFC 7692 section 7.1.1)", () => {
  const own = codec("server", NO_CONTEXT);
  const output = new Uint8Array(100);
  for (let i = 0; i < 3; i++) {
    // A message that is not at its end when it is given up, as by a connection that breaks.
    const { inflater } = own;
    const bytes = deflated(TEXT);
    inflater.push(bytes, 0, bytes.length - 4);
    inflater.pull(output, 50);
    own.endMessage();
  }
  const hello = deflated("Hello");
  own.inflater.push(hello, 0, hello.length);
  assertEquals(own.inflater.pull(output, 0), 5);
  assertEquals(output.slice(0, 5), bytesOf("Hello"));
  own.close();
});

Deno.test("Inflater.pull fills the output, and goes on where it was full", () => {
  const inflater = new Inflater(15);
  const message = randomBytes(1000).map((byte) => byte & 3);
  const bytes = deflated(message);
  for (const size of [1, 2, 7, 999, 1000, 1001]) {
    inflater.push(concat([9], bytes, [9]), 1, 1 + bytes.length);
    const output = new Uint8Array(2 + size);
    const pieces: Uint8Array[] = [];
    while (!inflater.done) {
      const count = inflater.pull(output, 2);
      if (count > 0) pieces.push(output.slice(2, 2 + count));
    }
    assertEquals(concat(...pieces), message, `${size} at a time`);
    assertEquals(pieces.length, Math.ceil(1000 / size));
    assertEquals(output.slice(0, 2), hex("0000"));
    inflater.pushTail();
    assertEquals([inflater.pull(output, 0), inflater.done], [0, true]);
  }
  inflater.close();
});

Deno.test("Inflater.pull goes on after a block with BFINAL, wherever the output is full (RFC 7692 section 7.2.3.4)", () => {
  const inflater = new Inflater(15);
  const part = concat(deflateRawSync(bytesOf("Hello")));
  for (let size = 1; size <= 20; size++) {
    for (const end of [hex(""), hex("00"), deflated("Hello")]) {
      const bytes = concat(part, part, part, end);
      inflater.push(bytes, 0, bytes.length);
      const output = new Uint8Array(size);
      const pieces: Uint8Array[] = [];
      while (!inflater.done) pieces.push(output.slice(0, inflater.pull(output, 0)));
      inflater.pushTail();
      while (!inflater.done) assertEquals(inflater.pull(output, 0), 0);
      const text = "Hello".repeat(end.length > 1 ? 4 : 3);
      assertEquals(concat(...pieces), bytesOf(text), `${size} at a time`);
    }
  }
  inflater.close();
});

Deno.test("Inflater.pull writes no further than it may", () => {
  const inflater = new Inflater(15);
  const bytes = deflated("Hello");
  inflater.push(bytes, 0, bytes.length);
  const output = new Uint8Array(9);
  assertEquals(inflater.pull(output, 1, 3), 2);
  assertEquals(output, concat([0], bytesOf("He"), new Uint8Array(6)));
  assertEquals(inflater.pull(output, 0, 9), 3);
  assertEquals(output.slice(0, 3), bytesOf("llo"));
  inflater.close();
});

Deno.test("Inflater.pull throws for what is not DEFLATE, with code 1007 (RFC 7692 section 7.2.2)", () => {
  for (
    const bytes of [
      hex("06"), // A block of the type that is none.
      hex("00 0500 0000"), // A stored block whose lengths differ.
      hex("fc ffffffffffff"), // A dynamic block with impossible codes.
      hex("02 02 00"), // A distance beyond what has been sent.
    ]
  ) {
    const inflater = new Inflater(15);
    inflater.push(bytes, 0, bytes.length);
    const error = assertThrows(() => inflater.pull(new Uint8Array(99), 0), ProtocolError);
    assertEquals(error.code, 1007);
    assert(error.message.startsWith("Cannot decompress: "), error.message);
    inflater.close();
  }
});
