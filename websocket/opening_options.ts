/**
 * What the constructor of `WebSocket` is given, checked: the URL, the subprotocols and the options.
 *
 * @module
 */

import { areValidProtocols, callerHeaders, checkCallerHeaders } from "../protocol/handshake.ts";
import { compressionSettings } from "../protocol/permessage_deflate/options.ts";
import { type KeyPair, usableKeyPair } from "../transport/key_pair.ts";
import { routeOf } from "../transport/route.ts";
import { checkedHook } from "./hook.ts";
import type { OpeningOptions } from "./opening.ts";
import { MAX_TIMEOUT_MS, numberOption, type WebSocketOptions } from "./options.ts";
import { isObject, isSequence, usvString } from "./web_idl.ts";

/** What {@linkcode WebSocket} takes besides its URL. */
export type ProtocolsOrOptions = string | Iterable<string> | WebSocketOptions | null;

/** A client's WebSocket that is to be opened. */
export interface Opening {
  /** Without user and password, which are in the headers. */
  url: URL;
  /** As they were given, for the limits of the socket. */
  given: WebSocketOptions;
  options: OpeningOptions;
}

/**
 * Checks what the constructor was given, in the order of its parameters.
 *
 * @throws {SyntaxError} (a `DOMException`) If the URL or a subprotocol is malformed.
 * @throws {RangeError} If an option is out of its range.
 * @throws {TypeError} If an option is of another type, or a header malformed.
 */
export function parseOpening(location: string | URL, rest: ProtocolsOrOptions): Opening {
  const text = usvString(location);
  const given: WebSocketOptions = isSequence(rest) || !isObject(rest) && rest !== null
    ? { protocols: stringOrSequence(rest) }
    : rest ?? {};
  const url = parseUrl(text);
  const options = openingOptions(given);
  const { headers } = options;
  const authorization = takeCredentials(url);
  const defaults = { authorization, origin: ownOrigin(), "user-agent": navigator.userAgent };
  for (const [name, value] of Object.entries(defaults)) {
    if (value !== undefined && !headers.has(name)) headers.set(name, value);
  }
  return { url, given, options };
}

function openingOptions(options: WebSocketOptions): OpeningOptions {
  const protocols = subprotocols(options.protocols);
  if (!areValidProtocols(protocols)) {
    throw new DOMException(
      `Cannot open WebSocket: subprotocols are "${protocols}", must be distinct tokens`,
      "SyntaxError",
    );
  }
  const { caCerts = [], insecure = false, compression = true, signal } = options;
  const wrong = !Array.isArray(caCerts)
    ? `caCerts is "${caCerts}", must be an array`
    : typeof insecure !== "boolean"
    ? `insecure is "${insecure}", must be true or false`
    : options.client !== undefined
    ? "client is given, must not be; use caCerts, cert, key and proxy"
    : signal !== undefined && !(signal instanceof AbortSignal)
    ? `signal is "${signal}", must be an AbortSignal`
    : undefined;
  if (wrong !== undefined) throw new TypeError(`Cannot set up socket: ${wrong}`);
  const headers = callerHeaders(options.headers);
  checkCallerHeaders(headers);
  return {
    protocols,
    headers,
    caCerts,
    insecure,
    pair: pairOf(options),
    route: routeOf(options),
    compression: compressionSettings(compression),
    handshakeTimeout: numberOption(
      "set up socket",
      "handshakeTimeout",
      options.handshakeTimeout,
      45_000,
      MAX_TIMEOUT_MS,
      "ms",
    ),
    signal,
    onHandshake: checkedHook("onHandshake", options.onHandshake),
  };
}

/**
 * The client's certificate and its key, checked.
 *
 * @throws {Deno.errors.InvalidData} If no client can use them.
 */
function pairOf({ cert, key }: WebSocketOptions): KeyPair | undefined {
  if (cert === undefined && key === undefined) return undefined;
  for (const [name, value] of Object.entries({ cert, key })) {
    if (typeof value === "string") continue;
    const problem = value === undefined ? "missing" : "not a text";
    throw new TypeError(`Cannot set up socket: ${name} is ${problem}, must be PEM`);
  }
  return usableKeyPair(cert!, key!);
}

/** The strings of a `(DOMString or sequence<DOMString>)`. */
function stringOrSequence(value: unknown): string[] {
  return isSequence(value) ? Array.from(value, (element) => `${element}`) : [`${value}`];
}

function subprotocols(value: unknown): string[] {
  if (value === undefined) return [];
  if (typeof value !== "string" && !isSequence(value)) {
    throw new TypeError(
      `Cannot set up socket: protocols is "${String(value)}", must be a string or iterable`,
    );
  }
  return stringOrSequence(value);
}

function parseUrl(text: string): URL {
  // There is one with `--location`, and in a worker.
  const base: string | undefined = globalThis.location?.href;
  const url = URL.parse(text, base);
  const scheme = url?.protocol;
  if (url !== null && (scheme === "http:" || scheme === "https:")) {
    url.protocol = scheme === "http:" ? "ws:" : "wss:";
  }
  if (url === null || !/^wss?:$/.test(url.protocol) || url.href.includes("#")) {
    throw new DOMException(
      `Cannot open WebSocket: URL is "${text}", must be ws: or wss: without a fragment`,
      "SyntaxError",
    );
  }
  return url;
}

/** Takes user and password out of the URL; returns the `Authorization` that they make (RFC 7617). */
function takeCredentials(url: URL): string | undefined {
  const { username, password } = url;
  if (username === "" && password === "") return undefined;
  url.username = url.password = "";
  // Each byte a character, as btoa() takes them.
  const bytes = `${username}:${password}`.replaceAll(
    /%([0-9a-f]{2})/gi,
    (_, hex) => String.fromCharCode(parseInt(hex, 16)),
  );
  return `Basic ${btoa(bytes)}`;
}

/** The origin of the page that `--location` makes of the program; a worker's location is only its file's. */
function ownOrigin(): string | undefined {
  const { location } = globalThis;
  if (location === undefined || "WorkerGlobalScope" in globalThis) return undefined;
  return /^https?:$/.test(location.protocol) ? location.origin : undefined;
}
