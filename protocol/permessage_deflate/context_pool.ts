/**
 * The pool of compression contexts: connections that send take a context from a common budget of bytes,
 * and lose it when others need it more.
 *
 * @module
 */

/** A connection that can hold a context. */
export interface ContextHolder {
  /**
   * The address whose share of the budget its context counts to. The empty string is for connections
   * whose peer has no address that could be told from others: they share the whole budget.
   */
  readonly address: string;
  /** Gives the context's memory back: the pool counts it no more. */
  dropContext(): void;
}

/** Bounds of a {@linkcode ContextPool}. */
export interface ContextPoolOptions {
  /**
   * What all contexts may take, in bytes. The default is room for 128 contexts with a window of 15 bits
   * and `memLevel` 8.
   *
   * @default {39_321_600}
   */
  budget?: number;
  /**
   * What the contexts of one address may take, in bytes.
   *
   * @default {Half of the budget.}
   */
  addressShare?: number;
  /**
   * A context that was used within this time is not taken away, in milliseconds.
   *
   * To make a context takes 17 µs, and 110 to 135 µs where `malloc` gives memory back at once (as with
   * `MALLOC_MMAP_THRESHOLD_=32768`); to compress a message of 300 bytes takes 1 µs with a context and
   * 3 µs without. Were the context taken from one busy connection for another, thousands of them would
   * make one for each message, and gain nothing, as the first message of a context is as large as
   * without.
   *
   * @default {1000}
   */
  minHold?: number;
  /**
   * {@linkcode ContextPool.releaseIdle} drops a context that was not used for this time, in milliseconds.
   *
   * @default {10_000}
   */
  idle?: number;
}

/** What the contexts of one address take. */
interface AddressUse {
  readonly name: string;
  bytes: number;
}

/**
 * Bytes of memory that a compressor takes: the table of hashes, the window and its chains, and the buffer
 * for symbols, of which zlib touches a part. Measured on Deno 2.9: 297 KB for 15 bits and `memLevel` 8, 276
 * for 15 and 5, 183 for 12 and 8, 143 for 9 and 1.
 */
export function contextBytes(windowBits: number, memLevel: number): number {
  return 140 * 1024 + (1 << windowBits + 2) + (1 << memLevel + 7);
}

/** One context. They are linked in the order of their last use, so that a use costs no search. */
interface Entry {
  readonly holder: ContextHolder;
  readonly address: AddressUse;
  readonly bytes: number;
  /** When it was last used. */
  used: number;
  previous: Entry | undefined;
  next: Entry | undefined;
}

/** The pool. Every `now` is a time in milliseconds that never goes back. */
export class ContextPool {
  /** What all contexts may take. Less than there is takes effect when the next one is reserved. */
  budget: number;
  readonly #addressShare: number | undefined;
  readonly #minHold: number;
  readonly #idle: number;
  readonly #entries = new Map<ContextHolder, Entry>();
  readonly #addresses = new Map<string, AddressUse>();
  #bytes = 0;
  /** The least recently used. */
  #first: Entry | undefined;
  /** The most recently used. */
  #last: Entry | undefined;

  constructor(
    { budget = 128 * contextBytes(15, 8), addressShare, minHold = 1000, idle = 10_000 }:
      ContextPoolOptions = {},
  ) {
    this.budget = budget;
    this.#addressShare = addressShare;
    this.#minHold = minHold;
    this.#idle = idle;
  }

  /** How many contexts there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** What they take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many addresses have contexts. */
  get addressCount(): number {
    return this.#addresses.size;
  }

  /**
   * Reserves room for a context of `holder`, which is used now. Others lose theirs, the least recently
   * used first: those of the same address beyond its share, any beyond the budget. Nobody loses one when
   * that would not make enough room.
   *
   * @param bytes What the context takes. It cannot change while the holder has one.
   * @returns Whether the holder may have a context, or has one already.
   */
  reserve(holder: ContextHolder, bytes: number, now: number): boolean {
    const known = this.#entries.get(holder);
    if (known !== undefined) {
      this.#use(known, now);
      return true;
    }
    const victims = this.#victims(holder.address, bytes, now);
    if (victims === undefined) return false;
    for (const victim of victims) this.#remove(victim);

    let address = this.#addresses.get(holder.address);
    if (address === undefined) {
      address = { name: holder.address, bytes: 0 };
      this.#addresses.set(address.name, address);
    }
    const entry = { holder, address, bytes, used: now, previous: undefined, next: undefined };
    address.bytes += bytes;
    this.#bytes += bytes;
    this.#entries.set(holder, entry);
    this.#append(entry);
    // Last, so that a holder may use the pool at once.
    for (const victim of victims) drop(victim.holder);
    return true;
  }

  /** Notes that the context of `holder` is used, if it has one. */
  touch(holder: ContextHolder, now: number): void {
    const entry = this.#entries.get(holder);
    if (entry !== undefined) this.#use(entry, now);
  }

  /** Counts the context of `holder` no more, which drops it by itself. */
  release(holder: ContextHolder): void {
    const entry = this.#entries.get(holder);
    if (entry !== undefined) this.#remove(entry);
  }

  /** Drops the contexts that are idle. To be called now and then while there are any. */
  releaseIdle(now: number): void {
    for (;;) {
      const entry = this.#first;
      if (entry === undefined || now - entry.used < this.#idle) return;
      this.#remove(entry);
      drop(entry.holder);
    }
  }

  /** The contexts that make room for one of `bytes`, or nothing if there are too few to take. */
  #victims(name: string, bytes: number, now: number): Entry[] | undefined {
    const address = this.#addresses.get(name);
    const share = name === "" ? this.budget : this.#addressShare ?? this.budget / 2;
    let beyondShare = (address?.bytes ?? 0) + bytes - share;
    let beyondBudget = this.#bytes + bytes - this.budget;
    const victims: Entry[] = [];
    for (let entry = this.#first; beyondShare > 0; entry = entry.next) {
      if (entry === undefined || now - entry.used < this.#minHold) return undefined;
      if (entry.address !== address) continue;
      victims.push(entry);
      beyondShare -= entry.bytes;
      beyondBudget -= entry.bytes;
    }
    for (let entry = this.#first; beyondBudget > 0; entry = entry.next) {
      if (entry === undefined || now - entry.used < this.#minHold) return undefined;
      if (victims.includes(entry)) continue;
      victims.push(entry);
      beyondBudget -= entry.bytes;
    }
    return victims;
  }

  #use(entry: Entry, now: number): void {
    entry.used = now;
    if (entry === this.#last) return;
    this.#unlink(entry);
    this.#append(entry);
  }

  #remove(entry: Entry): void {
    const { holder, address, bytes } = entry;
    this.#entries.delete(holder);
    this.#unlink(entry);
    this.#bytes -= bytes;
    address.bytes -= bytes;
    if (address.bytes === 0) this.#addresses.delete(address.name);
  }

  #append(entry: Entry): void {
    entry.previous = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
  }

  #unlink(entry: Entry): void {
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
  }
}

/** One holder that fails must not keep the others from losing theirs. */
function drop(holder: ContextHolder): void {
  try {
    holder.dropContext();
  } catch (error) {
    reportError(error);
  }
}
