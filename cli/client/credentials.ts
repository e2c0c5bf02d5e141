/**
 * The headers of the handshake that the flags give.
 *
 * @module
 */

import { Failure, fileCauseOf } from "../failure.ts";
import { BadValue, UsageError } from "../flags.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";
import { type Options, parseHeader } from "./flags.ts";

/** What {@linkcode headersOf} reads of the flags. */
type HeaderOptions = Pick<Options, "header" | "user" | "bearer-file" | "cookie" | "host">;

/**
 * The headers of `--header`, `--user`, `--bearer-file`, `--cookie` and `--host`.
 *
 * @throws {UsageError} If two of them give the same header.
 * @throws {Failure} If the file cannot be read, or holds no token.
 */
export async function headersOf(
  options: HeaderOptions,
  sentences: Sentences,
): Promise<[name: string, value: string][]> {
  const { user, "bearer-file": bearerFile, cookie, host } = options;
  const headers = options.header.map(parseHeader);
  const add = (flag: string, name: string, value: string) => {
    if (headers.some(([other]) => other.toLowerCase() === name.toLowerCase())) {
      const details = { flag, other: `--header="${name}: …"` };
      throw new UsageError(fill(sentences.usage.excluded, details));
    }
    headers.push([name, value]);
  };
  if (user !== undefined) {
    add("--user", "Authorization", `Basic ${new TextEncoder().encode(user).toBase64()}`);
  }
  if (bearerFile !== undefined) {
    const token = await readToken(bearerFile, sentences);
    add("--bearer-file", "Authorization", `Bearer ${token}`);
  }
  if (cookie.length > 0) add("--cookie", "Cookie", cookie.join("; "));
  if (host !== undefined) add("--host", "Host", host);
  return headers;
}

/** Reads a token, with its line end or without. */
async function readToken(path: string, sentences: Sentences): Promise<string> {
  const { failure } = sentences;
  try {
    const token = (await Deno.readTextFile(path)).trim();
    // The grammar of RFC 6750 section 2.1.
    if (!/^[\w.~+/-]+=*$/.test(token)) throw new BadValue("nonEmpty");
    return token;
  } catch (error) {
    const sentence = error instanceof BadValue
      ? failure.noToken
      : error instanceof Deno.errors.NotCapable
      ? failure.fileNotAllowed
      : failure.fileUnreadable;
    const remedy = permissionRemedy("client", `--allow-read=${path}`, sentences);
    throw new Failure(fill(sentence, { path, remedy, cause: fileCauseOf(error, sentences) }));
  }
}
