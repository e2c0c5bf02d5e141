/**
 * Connects with either WebSocket, and explains a failure in words that a person can act on.
 *
 * @module
 */

import type { CompressionOptions, FrameInfo, HandshakeHead } from "../../mod.ts";
import { ProxyError } from "../../transport/tunnel.ts";
import { WebSocket as CompressingWebSocket } from "../../websocket/websocket.ts";
import { callerHeaders, HandshakeError } from "../../protocol/handshake.ts";
import { withoutToken } from "../bearer_subprotocol.ts";
import type { CertificatePair } from "../certificates.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";
import { causeOf, Failure } from "../failure.ts";
import { printable } from "../printable.ts";
import { type ProxyOptions, proxyOptions } from "./proxy.ts";
import { Refusal } from "./refusal.ts";

/** How {@linkcode dial} connects. */
export interface DialOptions {
  /** What compression to offer; `false` for the runtime's own WebSocket, which has none. */
  compression: boolean | CompressionOptions;
  /** Whether the library's WebSocket is used without compression too. */
  alwaysOwn?: boolean | undefined;
  protocols: string[];
  headers: [name: string, value: string][];
  /** Authorities trusted besides the public ones, as PEM. */
  caCerts: string[];
  /** Whether to accept any certificate. */
  insecure: boolean;
  /** The client's own certificate. */
  pair?: CertificatePair | undefined;
  /** The name in TLS, and of the certificate, where that is another than the URL's; not of Deno's own WebSocket. */
  serverName?: string | undefined;
  /** Where the server is reached, where that is elsewhere than the URL says; likewise. */
  address?: { hostname: string; port: number } | undefined;
  /** Longest message received, in bytes; likewise. */
  maxMessageSize?: number | undefined;
  /** Longest silence of the server, in seconds, even to a Ping; 0 never asks; likewise. */
  idleTimeout?: number | undefined;
  /** The path of a Unix socket to connect to. */
  unix?: string | undefined;
  /** Called with each head of the opening handshake, and with each frame; never by the runtime's own WebSocket. */
  onHandshake?: ((head: HandshakeHead) => void) | undefined;
  onFrame?: ((frame: FrameInfo) => void) | undefined;
  /** The URL of a proxy; without it, the environment decides. */
  proxy?: string | undefined;
}

/** A connection that is being made. */
export interface Dialled {
  socket: WebSocket;
  /** Explains why the connection failed, given the socket's error. */
  explain(error: unknown): Promise<Failure>;
  /**
   * Ends the connection and releases its resources. Once open, the runtime's own WebSocket cannot be cut
   * off: it only asks its peer to close.
   */
  [Symbol.dispose](): void;
}

/** Starts to connect. */
export function dial(url: URL, options: DialOptions, sentences: Sentences): Dialled {
  const { compression, alwaysOwn, serverName } = options;
  if (compression === false && !alwaysOwn) return dialBuiltIn(url, options, sentences);
  if (serverName !== undefined) [url, options] = underName(serverName, url, options);
  return dialCompressing(url, options, sentences);
}

/** The same server under another name: it is reached where it was, and asked for the host that it was asked for. */
function underName(name: string, url: URL, options: DialOptions): [URL, DialOptions] {
  const renamed = new URL(url);
  renamed.hostname = name;
  const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const { unix, address = { hostname, port: Number(url.port || 443) } } = options;
  const hasHost = options.headers.some(([name]) => name.toLowerCase() === "host");
  return [renamed, {
    ...options,
    headers: hasHost ? options.headers : [...options.headers, ["Host", url.host]],
    address: unix === undefined ? address : undefined,
  }];
}

/** The way to the server, for the library's WebSocket. */
function routeOptions(url: URL, options: DialOptions, sentences: Sentences): ProxyOptions {
  const { unix, address, proxy } = options;
  if (unix !== undefined) return { unix };
  if (address !== undefined) return { proxy: { transport: "tcp", ...address } };
  return proxyOptions(url, proxy, sentences);
}

function dialCompressing(url: URL, options: DialOptions, sentences: Sentences): Dialled {
  const { compression, pair, protocols, headers, caCerts, insecure, maxMessageSize } = options;
  const { idleTimeout, onHandshake, onFrame } = options;
  let socket: CompressingWebSocket;
  try {
    socket = new CompressingWebSocket(url, {
      compression,
      protocols,
      headers,
      caCerts,
      insecure,
      ...pair && { cert: pair.cert, key: pair.key },
      ...maxMessageSize !== undefined && { maxMessageSize },
      ...idleTimeout !== undefined && { idleTimeout },
      ...onHandshake && { onHandshake },
      ...onFrame && { onFrame },
      ...routeOptions(url, options, sentences),
    });
  } catch (error) {
    // What is not allowed is told at once.
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw explainError(error, url, options, sentences);
  }
  return {
    socket,
    explain: (error) => Promise.resolve(explainError(error, url, options, sentences)),
    [Symbol.dispose]: () => socket.terminate(),
  };
}

function explainError(
  error: unknown,
  url: URL,
  options: DialOptions,
  sentences: Sentences,
): Failure {
  const cause = printable(withoutToken(causeOf(error)));
  if (error instanceof ProxyError) return explainProxyStatus(error, sentences);
  if (error instanceof HandshakeError && error.status !== undefined && error.status !== 101) {
    return explainStatus(error.status, error.headers, error.body, sentences);
  }
  const sentence = explainConnectError(cause, url, sentences, options.unix);
  return new Failure(sentence ?? fill(sentences.failure.notWebSocket, { cause }));
}

/** What the runtime's own WebSocket connects with. */
function httpClient({ caCerts, pair, unix, proxy }: DialOptions, http2: boolean): Deno.HttpClient {
  const route = unix !== undefined
    ? { transport: "unix" as const, path: unix }
    : proxy !== undefined
    ? { url: proxy }
    : undefined;
  return Deno.createHttpClient({
    caCerts,
    http2,
    allowHost: true,
    ...pair && { cert: pair.cert, key: pair.key },
    ...route && { proxy: route },
  });
}

function dialBuiltIn(url: URL, options: DialOptions, sentences: Sentences): Dialled {
  // Over a Unix socket, Deno 2.9.6 wants HTTP/2 for a WebSocket, or fails for want of it.
  if (options.unix !== undefined && url.protocol === "wss:") {
    throw new Failure(sentences.failure.unixWithoutTls);
  }
  const client = httpClient(options, true);
  const { protocols } = options;
  const socket = new WebSocket(url, { protocols, headers: callerHeaders(options.headers), client });
  return {
    socket,
    async explain(error) {
      const cause = printable(withoutToken(causeOf(error)));
      let refused = CERTIFICATE.test(cause);
      let known = explainConnectError(cause, url, sentences, options.unix);
      if (known === undefined) {
        const answer = await repeatHandshake(url, options);
        if (typeof answer === "object") {
          return explainStatus(answer.status, answer.headers, answer.body, sentences);
        }
        known = answer && explainConnectError(answer, url, sentences, options.unix);
        if (known === undefined) {
          return new Failure(fill(sentences.failure.notWebSocket, { cause }));
        }
        refused ||= CERTIFICATE.test(answer!);
      }
      // Only Deno's own flag can turn the verification of this WebSocket off.
      return new Failure(options.insecure && refused ? sentences.failure.insecureNeedsFlag : known);
    },
    [Symbol.dispose]() {
      socket.close();
      client.close();
    },
  };
}

/** Most bytes of a refusal's body: those that the library keeps. */
const MAX_BODY = 4096;

/** Deno's error for a certificate that is not accepted. */
const CERTIFICATE = /invalid peer certificate/i;

/**
 * Sends the same handshake again, as an ordinary request. Over TLS, the built-in WebSocket reports neither
 * the status of a refusal nor, if the server has no HTTP/2, what is wrong with a certificate. A plain GET
 * would not do: the server may refuse it for another reason.
 *
 * @returns The response, or the error's message.
 */
async function repeatHandshake(
  url: URL,
  options: DialOptions,
): Promise<{ status: number; headers: Headers; body: string } | string | undefined> {
  const { protocols, headers } = options;
  const request = new URL(url);
  request.protocol = url.protocol === "wss:" ? "https:" : "http:";
  const handshake = callerHeaders(headers);
  handshake.set("Connection", "Upgrade");
  handshake.set("Upgrade", "websocket");
  handshake.set("Sec-WebSocket-Version", "13");
  handshake.set("Sec-WebSocket-Key", crypto.getRandomValues(new Uint8Array(16)).toBase64());
  if (protocols.length > 0) handshake.set("Sec-WebSocket-Protocol", protocols.join(", "));
  using client = httpClient(options, false);
  try {
    const signal = AbortSignal.timeout(5000);
    const settings = { headers: handshake, client, redirect: "manual" as const, signal };
    const response = await fetch(request, settings);
    const { status } = response;
    const body = status === 101 ? "" : await startOf(response);
    return status === 101 ? undefined : { status, headers: response.headers, body };
  } catch (error) {
    const { cause } = error as Error;
    return printable(`${causeOf(error)} ${cause === undefined ? "" : causeOf(cause)}`);
  }
}

/** The first bytes of a body, as the library keeps them. */
async function startOf({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let left = MAX_BODY;
  try {
    for await (const chunk of body ?? []) {
      const part = chunk.subarray(0, left);
      text += decoder.decode(part, { stream: true });
      left -= part.length;
      if (left === 0) break;
    }
  } catch {
    // It broke off, or took too long: what has come is told.
  }
  return text;
}

/** Explains a failure before the handshake. Undefined if the error's message is not a known one. */
function explainConnectError(
  message: string,
  url: URL,
  sentences: Sentences,
  unix?: string,
): string | undefined {
  const { failure } = sentences;
  const [, proxy, problem] =
    /^Cannot connect (?:to|through) (proxy "[^"]+"): (.*)$/.exec(message) ?? [];
  if (proxy !== undefined) return fill(failure.proxyFailed, { proxy, cause: problem! });
  if (unix !== undefined) {
    if (/NotCapable|Requires (read|write|net) access/.test(message)) {
      const permissions = `--allow-read=${unix} --allow-write=${unix}`;
      const remedy = permissionRemedy("client", permissions, sentences);
      return fill(failure.unixNotAllowed, { path: unix, remedy });
    }
    if (/no such socket|refused|unix socket|No such file|os error|connect error/i.test(message)) {
      return fill(failure.noSocket, { path: unix });
    }
  }
  const known: (readonly [RegExp, string])[] = [
    [/CaUsedAsEndEntity/i, failure.peerIsAuthority],
    [/BadSignature|signature failure/i, failure.peerBadSignature],
    [/extended key usage|InvalidPurpose|unsupported certificate purpose/i, failure.peerPurpose],
    [/NotValidYet|not (yet valid|valid yet)/i, failure.peerEarly],
    [/UnknownIssuer|self.signed|unable to (get|verify)/i, failure.untrusted],
    [/not ?valid for ?name/i, failure.wrongName],
    [/certificate.*expired/i, failure.peerExpired],
    [/invalid peer certificate/i, failure.peerCertificate],
    ...url.protocol === "ws:"
      ? [[/invalid HTTP version|Cannot read (head|response)/i, failure.speaksTls] as const]
      : [],
    [/InvalidContentType|corrupt message|wrong version number/i, failure.notTls],
    [/dns error|lookup address|name was not found/i, failure.nameNotFound],
    [/tcp connect error|refused|unreachable/i, failure.refused],
    [/NotCapable|Requires net access/i, failure.netNotAllowed],
  ];
  const sentence = known.find(([pattern]) => pattern.test(message))?.[1];
  const host = sentence === failure.refused ? url.host : url.hostname;
  const cause = printable(message.replace(/^.*invalid peer certificate: /i, ""));
  const remedy = permissionRemedy("client", `--allow-net=${host}`, sentences);
  return sentence === undefined ? undefined : fill(sentence, { host, cause, remedy });
}

/** Explains a status other than 101. */
function explainStatus(
  status: number,
  headers: Headers,
  body: string,
  { failure }: Sentences,
): Refusal {
  const hints: Record<string, string> = failure.statusHints;
  const hint = hints[status] ?? failure.statusHints.other;
  return new Refusal(fill(failure.status, { status, hint }), status, headers, body);
}

/** Explains why a proxy opened no tunnel. */
function explainProxyStatus({ status, headers }: ProxyError, { failure }: Sentences): Refusal {
  const hints: Record<string, string> = failure.proxyHints;
  const hint = hints[status] ?? failure.proxyHints.other;
  return new Refusal(fill(failure.proxyStatus, { status, hint }), status, headers, "");
}
