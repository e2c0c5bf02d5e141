/**
 * One budget for the memory that peers make the process hold: unfinished messages, unsent output and
 * messages whose handlers are at work. Beyond it the greediest connection is ended.
 *
 * @module
 */

const MIB = 1024 * 1024;

/**
 * Default for what all connections of a process hold together, in bytes.
 *
 * A container of 512 MiB must live. Deno itself takes 60 to 90 MiB, 2,000 TLS connections 120 MiB, and
 * as much garbage as data may wait for collection: 90 + 120 + 2 × 128 is 466.
 */
const DEFAULT_MEMORY_TOTAL = 128 * MIB;

/**
 * Default for what all connections from one address hold together, in bytes.
 *
 * All clients behind one proxy have one address, and each may send a message of 16 MiB, so one address
 * gets four of those. Half of the total stays for all others.
 */
const DEFAULT_MEMORY_ADDRESS_SHARE = 64 * MIB;

/** Bounds of a {@linkcode MemoryBudget}, in bytes. */
export interface MemoryLimits {
  /** What all accounts may hold together. */
  total: number;
  /** What all accounts of one address may hold together. */
  addressShare: number;
}

/** What the accounts of a budget share. */
interface Ledger extends MemoryLimits {
  used: number;
  readonly addresses: Map<string, AddressUse>;
  /** Accounts that passed a bound and are not settled yet. Undefined while nothing is being settled. */
  unsettled: MemoryAccount[] | undefined;
}

/** What the accounts of one address hold. */
class AddressUse {
  held = 0;
  /** The accounts are linked: a thousand idle ones must not cost a table. */
  first: MemoryAccount | undefined;

  constructor(readonly name: string, readonly ledger: Ledger) {}
}

/** What one connection holds. */
export class MemoryAccount {
  readonly #address: AddressUse;
  readonly #end: () => void;
  #held = 0;
  /** Whether it is neither ended nor closed. */
  #open = true;
  #previous: MemoryAccount | undefined;
  #next: MemoryAccount | undefined;

  /** For {@linkcode MemoryBudget.open} alone. */
  constructor(address: AddressUse, end: () => void) {
    this.#address = address;
    this.#end = end;
    this.#next = address.first;
    if (this.#next !== undefined) this.#next.#previous = this;
    address.first = this;
  }

  /** How many bytes it holds; 0 once it is ended or closed. */
  get held(): number {
    return this.#held;
  }

  /**
   * Sets how many bytes it holds now, and ends accounts until the bounds are kept: the greediest of this
   * address beyond its share, the greediest of the address that holds most beyond the total. Of equals
   * the account that is updating is ended. Does nothing once the account is ended or closed.
   *
   * The only account that holds anything is never ended: a connection has bounds of its own, and nobody else
   * needs the memory.
   *
   * @param bytes A whole number, not negative.
   */
  update(bytes: number): void {
    if (!this.#open) return;
    const address = this.#address;
    const change = bytes - this.#held;
    this.#held = bytes;
    address.held += change;
    const { ledger } = address;
    ledger.used += change;
    if (change > 0 && (ledger.used > ledger.total || address.held > ledger.addressShare)) {
      MemoryAccount.settle(ledger, this);
    }
  }

  /** Gives back what it holds and is counted no more. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const address = this.#address;
    address.held -= this.#held;
    address.ledger.used -= this.#held;
    this.#held = 0;
    if (this.#previous === undefined) address.first = this.#next;
    else this.#previous.#next = this.#next;
    if (this.#next !== undefined) this.#next.#previous = this.#previous;
    this.#previous = undefined;
    this.#next = undefined;
    if (address.first === undefined) address.ledger.addresses.delete(address.name);
  }

  /**
   * Ends accounts until the bounds are kept, after `account` took its address or all beyond one. For
   * this module alone.
   */
  static settle(ledger: Ledger, account: MemoryAccount): void {
    if (ledger.unsettled !== undefined) {
      // The end of one account made another grow. The loop below comes to it: calling itself for each
      // of many accounts could exhaust the stack.
      ledger.unsettled.push(account);
      return;
    }
    const unsettled = ledger.unsettled = [account];
    for (let next = unsettled.pop(); next !== undefined; next = unsettled.pop()) {
      const own = next.#address;
      while (own.held > ledger.addressShare && MemoryAccount.#endGreediest(own, next));
      while (ledger.used > ledger.total) {
        let greediest = own;
        for (const address of ledger.addresses.values()) {
          if (address.held > greediest.held) greediest = address;
        }
        if (!MemoryAccount.#endGreediest(greediest, next)) break;
      }
    }
    ledger.unsettled = undefined;
  }

  /** Ends the greediest account of an address. Returns whether it did: one that holds alone is kept. */
  static #endGreediest(address: AddressUse, updating: MemoryAccount): boolean {
    let greediest = updating.#address === address ? updating : address.first!;
    for (let account = address.first; account !== undefined; account = account.#next) {
      if (account.#held > greediest.#held) greediest = account;
    }
    if (greediest.#held === address.ledger.used) return false;
    greediest.close();
    try {
      greediest.#end();
    } catch (error) {
      reportError(error);
    }
    return true;
  }
}

/** The budget of a process, or of a worker. */
export class MemoryBudget {
  readonly #ledger: Ledger;

  constructor(limits: MemoryLimits) {
    this.#ledger = { ...checked(limits), used: 0, addresses: new Map(), unsettled: undefined };
  }

  /** What all accounts hold, in bytes. */
  get used(): number {
    return this.#ledger.used;
  }

  /** How many addresses have accounts. */
  get addressCount(): number {
    return this.#ledger.addresses.size;
  }

  /** What may be held. */
  get limits(): MemoryLimits {
    const { total, addressShare } = this.#ledger;
    return { total, addressShare };
  }

  /**
   * Opens an account that holds nothing yet.
   *
   * @param address Accounts of the same address share its part of the budget.
   * @param end Called once, when the account is ended because it holds too much: it must let go of what
   *   it holds, which is not counted any more.
   */
  open(address: string, end: () => void): MemoryAccount {
    const ledger = this.#ledger;
    let use = ledger.addresses.get(address);
    if (use === undefined) {
      use = new AddressUse(address, ledger);
      ledger.addresses.set(address, use);
    }
    return new MemoryAccount(use, end);
  }

  /**
   * Changes the bounds, and ends accounts until the new ones are kept.
   *
   * @throws {RangeError} If a bound is not a number of bytes.
   */
  configure(limits: Partial<MemoryLimits>): void {
    const ledger = this.#ledger;
    Object.assign(ledger, checked({ ...this.limits, ...limits }));
    for (const address of [...ledger.addresses.values()]) {
      // Any account of an address stands for it.
      if (address.first !== undefined) MemoryAccount.settle(ledger, address.first);
    }
  }
}

function checked({ total, addressShare }: MemoryLimits): MemoryLimits {
  for (const [name, value] of Object.entries({ total, addressShare })) {
    if (typeof value === "number" && value >= 0) continue;
    throw new RangeError(
      `Cannot set up the memory budget: ${name} is "${value}", must be a number of bytes from 0`,
    );
  }
  return { total, addressShare };
}

/** The budget that all connections of this process, or of this worker, share. */
export const memoryBudget: MemoryBudget = new MemoryBudget({
  total: DEFAULT_MEMORY_TOTAL,
  addressShare: DEFAULT_MEMORY_ADDRESS_SHARE,
});
