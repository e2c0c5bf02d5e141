/**
 * The page at `/`: a client in the browser for the server's own WebSocket. It is made of the files of
 * `page/`, which are part of the program.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import icon from "../../page/icon.svg" with { type: "text" };
import html from "../../page/index.html" with { type: "text" };
import style from "../../page/page.css" with { type: "text" };
import script from "../../page/page.js" with { type: "text" };
import { listElements } from "../../protocol/grammar.ts";
import { fill, type Sentences } from "../sentences.ts";

/** What the page knows of the server. */
export interface PageOptions {
  /** Path of the WebSocket. */
  path: string;
  /** Whether the path has rooms below it. */
  hasRooms: boolean;
  /** Whether the server asks for a token. */
  asksToken: boolean;
  /** Longest message the server receives, in bytes. */
  maxMessageSize: number;
  /** Whether the server counts what it carries. */
  isCounting: boolean;
  /** Where a browser on the server's machine reads what the server has counted; left out where it cannot. */
  figuresUrl?: string | undefined;
  sentences: Sentences;
}

/** The server's machine, as a browser names it that is on that machine, or at the end of a tunnel to it. */
export const OWN_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Only the page's own files are loaded, and only its own server is connected to, and what is named besides. No
 * script can make HTML of a text (`require-trusted-types-for`).
 */
function policy(connectTo = ""): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ${connectTo}`.trim(),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/** One file, in each coding it is sent in. */
interface File {
  type: string;
  /** Its `Content-Security-Policy`. */
  policy: string;
  identity: Coded;
  gzip: Coded;
}

/** A file in one coding, with its entity tag (RFC 9110 section 8.8.3). */
interface Coded {
  body: Uint8Array<ArrayBuffer>;
  tag: string;
}

/**
 * The page's files.
 *
 * The page is for everybody, and the server's figures are not. So they are not on the server's own port: the page
 * reads them where `--metrics` serves them, and gets them if the browser that shows it may reach that address. It
 * is told of this address only at a name of the server's own machine. At any other name the browser may be
 * anywhere, and 127.0.0.1 would be another machine. A request's address could not decide that, as behind a proxy
 * on the same machine all of them come from there.
 */
export class Page {
  readonly #files: Map<string, File>;
  /** The page at a name of the server's own machine. */
  readonly #own: File;

  constructor({ sentences, figuresUrl, isCounting, ...settings }: PageOptions) {
    const { codes: _, ...texts } = sentences.page;
    const page = (figures: { figuresUrl?: string | undefined; isCounting: boolean }) => {
      const known = { ...settings, ...figures, sentences: sentences.page };
      const all = { ...texts, settings: JSON.stringify(known) };
      const escaped = Object.entries(all).map(([name, text]) => [name, escapeHtml(text)]);
      return fileOf(
        "text/html",
        fill(html, Object.fromEntries(escaped)),
        policy(figures.figuresUrl),
      );
    };
    this.#own = page({ figuresUrl, isCounting });
    this.#files = new Map([
      ["/", page({ isCounting: true })],
      ["/page.css", fileOf("text/css", style)],
      ["/page.js", fileOf("text/javascript", script)],
      ["/icon.svg", fileOf("image/svg+xml", icon)],
    ]);
  }

  /**
   * Answers a `GET` or `HEAD`, with gzip where the client takes it, and with 304 where it has the file.
   *
   * @returns `undefined` if the path is none of the page's.
   */
  answer({ hostname, pathname }: URL, requestHeaders: Headers): Response | undefined {
    const isOwn = pathname === "/" && OWN_NAMES.includes(hostname);
    const file = isOwn ? this.#own : this.#files.get(pathname);
    if (file === undefined) return undefined;
    const isGzip = acceptsGzip(requestHeaders.get("Accept-Encoding"));
    const { body, tag } = isGzip ? file.gzip : file.identity;
    const headers = new Headers({
      "Content-Security-Policy": file.policy,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      // It may be kept, but is asked for each time: another version of the server may have another page.
      "Cache-Control": "no-cache",
      "ETag": tag,
      "Vary": "Accept-Encoding",
    });
    if (isNamed(tag, requestHeaders.get("If-None-Match"))) {
      return new Response(null, { status: 304, headers });
    }
    headers.set("Content-Type", `${file.type}; charset=utf-8`);
    if (isGzip) headers.set("Content-Encoding", "gzip");
    return new Response(body, { headers });
  }
}

function fileOf(type: string, text: string, ownPolicy = policy()): File {
  const body = new TextEncoder().encode(text);
  const hash = createHash("sha256").update(body).digest("base64url").slice(0, 22);
  return {
    type,
    policy: ownPolicy,
    identity: { body, tag: `"${hash}"` },
    gzip: { body: new Uint8Array(gzipSync(body)), tag: `"${hash}-gzip"` },
  };
}

/** Whether `Accept-Encoding` has gzip, and not with the weight 0 (RFC 9110 section 12.5.3). */
function acceptsGzip(header: string | null): boolean {
  return listElements(header).some((element) => {
    const [coding, weight = ""] = element.toLowerCase().split(";").map((part) => part.trim());
    return coding === "gzip" && !/^q=0(\.0*)?$/.test(weight);
  });
}

/** Whether `If-None-Match` has the tag, by weak comparison (RFC 9110 section 13.1.2). */
function isNamed(tag: string, header: string | null): boolean {
  return listElements(header).some((element) =>
    element === "*" || element.replace("W/", "") === tag
  );
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character]!);
}
