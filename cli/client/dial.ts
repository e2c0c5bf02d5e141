/**
 * Connects with either WebSocket, and explains a failure in words that a person can act on.
 *
 * @module
 */

import { HandshakeError, WebSocket as CompressingWebSocket } from "../../mod.ts";
import { withoutToken } from "../bearer_subprotocol.ts";
import { fill, type Sentences } from "../sentences.ts";
import { causeOf, Failure } from "../failure.ts";
import { printable } from "../printable.ts";

/** How {@linkcode dial} connects. */
export interface DialOptions {
  /** Whether to offer compression; without it, the WebSocket is the runtime's own. */
  compression: boolean;
  protocols: string[];
  headers: [name: string, value: string][];
  /** Authorities trusted besides the public ones, as PEM. */
  caCerts: string[];
  /** Whether to accept any certificate. */
  insecure: boolean;
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
  return options.compression
    ? dialCompressing(url, options, sentences)
    : dialBuiltIn(url, options, sentences);
}

function dialCompressing(url: URL, options: DialOptions, sentences: Sentences): Dialled {
  const socket = new CompressingWebSocket(url, options);
  return {
    socket,
    explain(error) {
      const cause = printable(withoutToken(causeOf(error)));
      const { status, headers } = error instanceof HandshakeError ? error : {};
      const retryAfter = headers?.get("Retry-After") ?? undefined;
      const sentence = status !== undefined && status !== 101
        ? explainStatus(status, sentences)
        : explainConnectError(cause, url, sentences);
      const message = sentence ?? fill(sentences.failure.notWebSocket, { cause });
      return Promise.resolve(new Failure(message, 1, retryAfter));
    },
    [Symbol.dispose]: () => socket.terminate(),
  };
}

function dialBuiltIn(url: URL, options: DialOptions, sentences: Sentences): Dialled {
  const client = Deno.createHttpClient({ caCerts: options.caCerts });
  const { protocols, headers } = options;
  const socket = new WebSocket(url, { protocols, headers, client });
  return {
    socket,
    async explain(error) {
      const cause = printable(withoutToken(causeOf(error)));
      let refused = CERTIFICATE.test(cause);
      let known = explainConnectError(cause, url, sentences);
      if (known === undefined) {
        const answer = await repeatHandshake(url, options);
        if (answer instanceof Response) {
          const retryAfter = answer.headers.get("Retry-After") ?? undefined;
          return new Failure(explainStatus(answer.status, sentences), 1, retryAfter);
        }
        known = answer && explainConnectError(answer, url, sentences);
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
  { protocols, headers, caCerts }: DialOptions,
): Promise<Response | string | undefined> {
  const request = new URL(url);
  request.protocol = url.protocol === "wss:" ? "https:" : "http:";
  const handshake = new Headers(headers);
  handshake.set("Connection", "Upgrade");
  handshake.set("Upgrade", "websocket");
  handshake.set("Sec-WebSocket-Version", "13");
  handshake.set("Sec-WebSocket-Key", crypto.getRandomValues(new Uint8Array(16)).toBase64());
  if (protocols.length > 0) handshake.set("Sec-WebSocket-Protocol", protocols.join(", "));
  using client = Deno.createHttpClient({ caCerts, http2: false });
  try {
    const signal = AbortSignal.timeout(5000);
    const options = { headers: handshake, client, redirect: "manual" as const, signal };
    const response = await fetch(request, options);
    await response.body?.cancel();
    return response.status === 101 ? undefined : response;
  } catch (error) {
    const { cause } = error as Error;
    return printable(`${causeOf(error)} ${cause === undefined ? "" : causeOf(cause)}`);
  }
}

/** Explains a failure before the handshake. Undefined if the error's message is not a known one. */
function explainConnectError(
  message: string,
  url: URL,
  { failure }: Sentences,
): string | undefined {
  const known: (readonly [RegExp, string])[] = [
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
  return sentence === undefined ? undefined : fill(sentence, { host, cause });
}

/** Explains a status other than 101. */
function explainStatus(status: number, { failure }: Sentences): string {
  const hints: Record<string, string> = failure.statusHints;
  return fill(failure.status, { status, hint: hints[status] ?? failure.statusHints.other });
}
