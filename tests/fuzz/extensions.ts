/**
 * The header `Sec-WebSocket-Extensions`, whole and broken, in an offer and in a response.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { formatExtension, parseExtensions } from "../../protocol/extension_header.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import {
  acceptOffer,
  checkResponse,
  formatOffer,
} from "../../protocol/permessage_deflate/negotiation.ts";
import { compressionSettings } from "../../protocol/permessage_deflate/options.ts";
import type { Random } from "./random.ts";

const NAMES = [
  "server_no_context_takeover",
  "client_no_context_takeover",
  "server_max_window_bits",
  "client_max_window_bits",
  "unknown",
  "__proto__",
  "constructor",
];
const VALUES = [
  "",
  "=8",
  "=9",
  "=15",
  "=16",
  "=7",
  "=010",
  '="10"',
  "=1e1",
  '="1\\2"',
  "= 12",
  "=+9",
];
const PIECES = [",", ";", "=", '"', "\\", " ", "\t", "permessage-deflate", ...NAMES, ...VALUES];

function header(random: Random): string {
  const extension = () => {
    const name = random.one(6) ? "x-other" : "permessage-deflate";
    const params = Array.from(
      { length: random.below(4) },
      () => random.pick(random.one(6) ? NAMES : NAMES.slice(0, 4)) + random.pick(VALUES),
    );
    return [name, ...params].join(random.pick([";", "; ", " ; "]));
  };
  return Array.from({ length: 1 + random.below(3) }, extension).join(
    random.pick([",", ", ", ",,"]),
  );
}

function settings(random: Random) {
  return compressionSettings({
    serverMaxWindowBits: 9 + random.below(7),
    clientMaxWindowBits: 9 + random.below(7),
    serverNoContextTakeover: random.one(2),
    clientNoContextTakeover: random.one(2),
  })!;
}

/** What a response agrees to, or nothing where it is refused. */
function agreed(header: string, client: ReturnType<typeof settings>) {
  try {
    return checkResponse(parseExtensions(header) ?? [], client);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 1010) return undefined;
    throw error;
  }
}

/**
 * Nothing is thrown but a refusal with 1010; what is parsed is written and read as the same; a server
 * answers no offer with what that did not ask for or allow (RFC 7692 section 7.1); and a client
 * understands each answer to an offer of its own just as the server meant it.
 */
export function extensionParameters(random: Random): void {
  const bytes = random.mutated(new TextEncoder().encode(header(random)), PIECES);
  const text = String.fromCharCode(...bytes);
  const server = settings(random);
  const client = settings(random);
  const offers = parseExtensions(text);
  if (offers !== undefined) {
    const written = offers.map(formatExtension).join(", ");
    assertEquals(parseExtensions(written), offers);
    const accepted = acceptOffer(offers, server);
    if (accepted !== undefined) {
      const [response, ...others] = parseExtensions(accepted.response)!;
      assertEquals([response!.name, others.length], ["permessage-deflate", 0]);
      const answer = new Map(response!.params);
      assertEquals(answer.size, response!.params.length);
      const bits = (name: string) => answer.has(name) ? Number(answer.get(name)) : 15;
      assert(bits("server_max_window_bits") <= server.serverMaxWindowBits);
      // One of the offers is the one that was accepted.
      assert(
        offers.some(({ name, params }) => {
          const offer = new Map(params);
          const asked = Number(offer.get("server_max_window_bits") ?? 15);
          return name === "permessage-deflate" && offer.size === params.length &&
            bits("server_max_window_bits") <= asked &&
            (!answer.has("client_max_window_bits") || offer.has("client_max_window_bits")) &&
            (!offer.has("server_no_context_takeover") || answer.has("server_no_context_takeover"));
        }),
        accepted.response,
      );
    }
    agreed(text, client);
  }
  const own = acceptOffer(parseExtensions(formatOffer(client))!, server)!;
  const understood = agreed(own.response, client)!;
  assertEquals(understood.serverMaxWindowBits, own.agreement.serverMaxWindowBits);
  assertEquals(understood.serverNoContextTakeover, own.agreement.serverNoContextTakeover);
  assert(understood.clientMaxWindowBits <= own.agreement.clientMaxWindowBits);
  assert(understood.clientNoContextTakeover || !own.agreement.clientNoContextTakeover);
}
