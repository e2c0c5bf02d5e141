/**
 * The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1), both sides.
 *
 * @module
 */

import { type Extension, formatExtension } from "../extension_header.ts";
import { CloseCode } from "../frame.ts";
import { ProtocolError } from "../protocol_error.ts";
import { type CompressionSettings, MAX_WINDOW_BITS, MIN_DEFLATE_WINDOW_BITS } from "./options.ts";

/** The extension's name in the registry. */
const NAME = "permessage-deflate";

/** What both sides agreed on (RFC 7692 section 7.1). */
export interface Agreement {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  /** 8 to 15. */
  serverMaxWindowBits: number;
  /** 8 to 15. */
  clientMaxWindowBits: number;
}

/** The parameters of one offer or response, each there at most once and in its range. */
interface Params {
  server_no_context_takeover?: true;
  client_no_context_takeover?: true;
  server_max_window_bits?: number;
  /** `true` where it has no value. */
  client_max_window_bits?: number | true;
}

/** Reads the parameters, or nothing when one is unknown, repeated or out of range (section 7.1). */
function readParams({ params }: Extension): Params | undefined {
  const read: Params = {};
  for (const [name, value] of params) {
    if (Object.hasOwn(read, name)) return undefined;
    const bits = value !== undefined && /^(?:[89]|1[0-5])$/.test(value) ? Number(value) : undefined;
    switch (name) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        if (value !== undefined) return undefined;
        read[name] = true;
        break;
      case "server_max_window_bits":
        if (bits === undefined) return undefined;
        read[name] = bits;
        break;
      case "client_max_window_bits":
        if (value !== undefined && bits === undefined) return undefined;
        read[name] = bits ?? true;
        break;
      default:
        return undefined;
    }
  }
  return read;
}

/**
 * The server's side: accepts the first offer that can be honoured (RFC 7692 sections 5.1 and 7.1).
 *
 * @param offers What the client offers, in its order of preference.
 * @returns What is agreed and the response that says so, or nothing when every offer is declined.
 */
export function acceptOffer(
  offers: Extension[],
  settings: CompressionSettings,
): { agreement: Agreement; response: string } | undefined {
  for (const offer of offers) {
    if (offer.name !== NAME) continue;
    const params = readParams(offer);
    if (params === undefined) continue;
    const asked = params.server_max_window_bits;
    if (asked !== undefined && asked < MIN_DEFLATE_WINDOW_BITS) continue;

    const server = Math.min(asked ?? MAX_WINDOW_BITS, settings.serverMaxWindowBits);
    const able = params.client_max_window_bits;
    // Without the parameter in the offer, the client cannot be asked (section 7.1.2.2).
    const client = able === undefined ? MAX_WINDOW_BITS : Math.min(
      able === true ? MAX_WINDOW_BITS : able,
      settings.clientMaxWindowBits,
    );
    const agreement: Agreement = {
      serverNoContextTakeover: params.server_no_context_takeover ??
        settings.serverNoContextTakeover,
      clientNoContextTakeover: params.client_no_context_takeover ??
        settings.clientNoContextTakeover,
      serverMaxWindowBits: server,
      clientMaxWindowBits: client,
    };
    const response = formatParams({
      server_no_context_takeover: agreement.serverNoContextTakeover,
      client_no_context_takeover: agreement.clientNoContextTakeover,
      server_max_window_bits: asked !== undefined || server < MAX_WINDOW_BITS ? server : false,
      client_max_window_bits: client < MAX_WINDOW_BITS ? client : false,
    });
    return { agreement, response };
  }
  return undefined;
}

/** The client's offer: one, that any server able to compress can accept (section 7.1). */
export function formatOffer(settings: CompressionSettings): string {
  const { serverMaxWindowBits, clientMaxWindowBits } = settings;
  return formatParams({
    server_no_context_takeover: settings.serverNoContextTakeover,
    client_no_context_takeover: settings.clientNoContextTakeover,
    server_max_window_bits: serverMaxWindowBits < MAX_WINDOW_BITS ? serverMaxWindowBits : false,
    client_max_window_bits: clientMaxWindowBits < MAX_WINDOW_BITS ? clientMaxWindowBits : true,
  });
}

function formatParams(params: Record<keyof Params, boolean | number>): string {
  return formatExtension({
    name: NAME,
    params: Object.entries(params)
      .filter(([, value]) => value !== false)
      .map(([name, value]) => [name, value === true ? undefined : String(value)]),
  });
}

/**
 * The client's side: checks the server's response against the offer (RFC 7692 section 7.1).
 *
 * @param settings Those the offer was made of, or `undefined` when none was made.
 * @returns What is agreed; `undefined` when the server does not compress.
 * @throws {ProtocolError} With code 1010, if the response agrees to what was not offered.
 */
export function checkResponse(
  response: Extension[],
  settings: CompressionSettings | undefined,
): Agreement | undefined {
  const [extension, second] = response;
  if (extension === undefined) return undefined;
  const header = response.map(formatExtension).join(", ");
  const refuse = (problem: string): never => {
    throw new ProtocolError(
      CloseCode.MANDATORY_EXTENSION,
      "EXTENSION_NOT_OFFERED",
      `Cannot agree on extensions: server answered "${header}", ${problem}`,
    );
  };
  if (settings === undefined) return refuse("none was offered");
  if (extension.name !== NAME) return refuse(`only ${NAME} was offered`);
  if (second !== undefined) return refuse("one was offered");
  const params = readParams(extension);
  if (params === undefined) return refuse("a parameter is unknown, repeated or out of range");

  const server = params.server_max_window_bits ?? MAX_WINDOW_BITS;
  if (server > settings.serverMaxWindowBits) {
    return refuse(`server_max_window_bits must be at most ${settings.serverMaxWindowBits}`);
  }
  if (settings.serverNoContextTakeover && !params.server_no_context_takeover) {
    return refuse("server_no_context_takeover is missing");
  }
  const client = params.client_max_window_bits ?? settings.clientMaxWindowBits;
  if (client === true) return refuse("client_max_window_bits has no value");
  if (client > settings.clientMaxWindowBits) {
    return refuse(`client_max_window_bits must be at most ${settings.clientMaxWindowBits}`);
  }
  return {
    serverNoContextTakeover: params.server_no_context_takeover ?? false,
    clientNoContextTakeover: params.client_no_context_takeover ??
      settings.clientNoContextTakeover,
    serverMaxWindowBits: server,
    clientMaxWindowBits: client,
  };
}
