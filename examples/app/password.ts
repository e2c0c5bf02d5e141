/**
 * Passwords: how one is checked, and how often an address may try.
 *
 * @module
 */

import { timingSafeEqual } from "node:crypto";

/** What is kept of a password. */
export interface PasswordHash {
  salt: Uint8Array<ArrayBuffer>;
  hash: Uint8Array;
}

/** Hashes a password with a new salt. */
export async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  return { salt, hash: await derive(password, salt) };
}

/** Whether a password is the one that was hashed; takes as long for any. */
export async function isPassword(
  password: string,
  { salt, hash }: PasswordHash,
): Promise<boolean> {
  return timingSafeEqual(await derive(password, salt), hash);
}

/** Takes some 0.1 s, so that whoever steals a hash cannot try many passwords. */
async function derive(password: string, salt: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const bytes = new TextEncoder().encode(password);
  const key = await crypto.subtle.importKey("raw", bytes, "PBKDF2", false, ["deriveBits"]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt, iterations: 600_000 };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
}

/** Attempts within a minute from one address, and from all: each takes CPU time. */
const MAX_ATTEMPTS = 5;
const MAX_ATTEMPTS_OF_ALL = 100;

/** Attempts of the current minute, by address. */
const attempts = new Map<string, number>();
let attemptsOfAll = 0;

setInterval(() => {
  attempts.clear();
  attemptsOfAll = 0;
}, 60_000);

/** Whether an address may try a password now. It counts from now on, so that many at once are no way around. */
export function mayTry(address: string): boolean {
  const count = attempts.get(address) ?? 0;
  if (count >= MAX_ATTEMPTS || attemptsOfAll >= MAX_ATTEMPTS_OF_ALL) return false;
  attempts.set(address, count + 1);
  attemptsOfAll++;
  return true;
}
