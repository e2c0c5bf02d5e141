/**
 * What is sent: JSON events, each different and all alike, as a service's stream is. The same seed
 * gives the same events.
 *
 * @module
 */

/** A generator of numbers from 0 to 1: xorshift32, enough for test data. */
export function seeded(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

const KINDS = ["order.created", "order.paid", "order.shipped", "cart.updated", "user.signed_in"];
const CITIES = ["São Paulo", "Recife", "Curitiba", "Manaus", "Lisboa", "Porto", "Braga"];
const PRODUCTS = ["coffee", "notebook", "headphones", "keyboard", "umbrella", "backpack", "lamp"];

/** So many customers are about at once: some of them come again while a window remembers them. */
const CUSTOMERS = 100;

/** One event after another, of some 350 to 650 bytes each. */
export function* events(seed: number): Generator<string, never> {
  const random = seeded(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = (from: string[]) => from[below(from.length)]!;
  const hex = (digits: number) =>
    Array.from({ length: digits }, () => below(16).toString(16)).join("");
  const customers = Array.from({ length: CUSTOMERS }, () => ({
    id: 100_000 + below(900_000),
    city: pick(CITIES),
    returning: random() < 0.6,
    email: `${hex(8)}@example.com`,
    session: hex(32),
  }));
  let time = Date.UTC(2026, 0, 1);
  for (let sequence = 1;; sequence++) {
    time += below(5000);
    yield JSON.stringify({
      id: `evt_${hex(24)}`,
      sequence,
      type: pick(KINDS),
      created_at: new Date(time).toISOString(),
      customer: customers[below(CUSTOMERS)],
      items: Array.from({ length: 1 + below(4) }, () => ({
        sku: `${pick(PRODUCTS)}-${below(1000)}`,
        quantity: 1 + below(5),
        price: below(50_000) / 100,
      })),
      trace: { span: hex(16), sampled: random() < 0.1, latency_ms: below(100_000) / 1000 },
    });
  }
}

/**
 * So many bytes at least before a stream of messages repeats itself: a sliding window holds 32 KiB,
 * and no compressor is to find in it what it has seen a cycle before.
 */
const CYCLE_BYTES = 128 * 1024;

/** Bytes of each message; or events as they come, or reports of many. */
export type Size = number | "events" | "reports";

/** Bytes of a report. */
const REPORT_BYTES = 64 * 1024;

/** Whether messages of this size are binary. Small ones are text; large ones are seldom. */
export function isBinary(size: Size): boolean {
  return typeof size === "number" && size >= 64 * 1024;
}

/** Messages of `size` bytes each, cut from events, or the events themselves. */
export function messagesOf(size: Size): string[] {
  const source = events(7);
  const messages: string[] = [];
  for (let total = 0; total < CYCLE_BYTES || messages.length < 4;) {
    const message = size === "events"
      ? source.next().value
      : size === "reports"
      ? report(source)
      : cut(source, size);
    messages.push(message);
    total += message.length;
  }
  return messages;
}

/** Events one after another, cut at `size` bytes; what is no ASCII is left out. */
function cut(source: Generator<string, never>, size: number): string {
  let text = "";
  while (text.length < size) text += source.next().value.replaceAll(/[^\x20-\x7e]/g, "");
  return text.slice(0, size);
}

/** The same few events over and over, as a table has its rows. */
function report(source: Generator<string, never>): string {
  const rows = cut(source, 2048);
  return rows.repeat(REPORT_BYTES / rows.length);
}
