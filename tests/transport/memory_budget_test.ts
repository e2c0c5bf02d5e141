/**
 * The memory budget, beside a model that looks at all accounts at each update.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type MemoryAccount, MemoryBudget } from "../../transport/memory_budget.ts";

/** Opens an account that logs its name when it is ended. */
function logged(budget: MemoryBudget, address: string, name: string, log: string[]): MemoryAccount {
  return budget.open(address, () => log.push(name));
}

Deno.test("MemoryBudget ends the greediest of an address that passes its share, and nobody else", () => {
  const budget = new MemoryBudget({ total: 1000, addressShare: 100 });
  const log: string[] = [];
  const small = logged(budget, "a", "small", log);
  const large = logged(budget, "a", "large", log);
  const other = logged(budget, "b", "other", log);
  other.update(100);
  large.update(60);
  small.update(40);
  assertEquals(log, []);
  small.update(41);
  assertEquals(log, ["large"]);
  assertEquals([small.held, large.held, other.held, budget.used], [41, 0, 100, 141]);
});

Deno.test("MemoryBudget ends the greediest of the address that holds most beyond the total", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 100 });
  const log: string[] = [];
  const one = logged(budget, "one", "one", log);
  one.update(35);
  const many = ["x", "y", "z"].map((name) => logged(budget, "many", name, log));
  for (const [index, account] of many.entries()) account.update(10 + index * 5);
  one.update(56);
  // "one" holds 56, "many" 45: the address that holds most goes first.
  assertEquals(log, ["one"]);
  const other = logged(budget, "other", "other", log);
  other.update(44);
  other.update(60);
  assertEquals(log, ["one", "other"]);
  logged(budget, "other", "again", log).update(44);
  many[0]!.update(17);
  many[2]!.update(25);
  assertEquals(log, ["one", "other", "z"]);
  assertEquals(budget.used, 76);
});

Deno.test("MemoryBudget ends as many accounts as it takes", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 100 });
  const log: string[] = [];
  for (let name = 0; name < 10; name++) logged(budget, "a", String(name), log).update(name);
  budget.configure({ addressShare: 10 });
  assertEquals(log, ["9", "8", "7", "6", "5"]);
  assertEquals(budget.used, 10);
  budget.configure({ total: 0 });
  assertEquals(log, ["9", "8", "7", "6", "5", "4", "3", "2"], "1 holds alone, and 0 nothing");
  assertEquals(budget.used, 1);
});

Deno.test("MemoryBudget ends no account that holds alone, and ends it when another holds too", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 50 });
  const log: string[] = [];
  const one = logged(budget, "a", "one", log);
  const other = logged(budget, "b", "other", log);
  one.update(1000);
  assertEquals([log, one.held], [[], 1000]);
  other.update(1);
  assertEquals([log, budget.used], [["one"], 1]);
});

Deno.test("MemoryBudget ends the account that is updating when others hold the same", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 60 });
  const log: string[] = [];
  const [a, b] = ["a", "b"].map((name) => logged(budget, "same", name, log)) as [
    MemoryAccount,
    MemoryAccount,
  ];
  a.update(40);
  b.update(10);
  b.update(40);
  assertEquals(log, ["b"]);
  a.update(51);
  const c = logged(budget, "other", "c", log);
  c.update(51);
  assertEquals(log, ["b", "c"]);
});

Deno.test("MemoryAccount ignores everything once it is ended", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 100 });
  let ends = 0;
  budget.open("b", () => {}).update(1);
  const account: MemoryAccount = budget.open("a", () => {
    ends++;
    assertEquals(account.held, 0);
    account.update(0);
    account.close();
  });
  account.update(101);
  account.update(1000);
  account.close();
  assertEquals([ends, account.held, budget.used, budget.addressCount], [1, 0, 1, 1]);
});

Deno.test("MemoryBudget goes on when the end of an account throws", () => {
  const budget = new MemoryBudget({ total: 100, addressShare: 100 });
  const errors: string[] = [];
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(String(event.error));
  };
  addEventListener("error", listener);
  const log: string[] = [];
  budget.open("a", () => {
    throw new Error("Broken end");
  }).update(60);
  const next = logged(budget, "b", "next", log);
  next.update(50);
  logged(budget, "c", "last", log).update(1);
  next.update(101);
  removeEventListener("error", listener);
  assertEquals(errors, ["Error: Broken end"]);
  assertEquals(log, ["next"]);
});

Deno.test("MemoryBudget settles an account that grows while another is ended", () => {
  const budget = new MemoryBudget({ total: 1000, addressShare: 100 });
  const log: string[] = [];
  const accounts: MemoryAccount[] = [];
  budget.open("other", () => {}).update(1);
  // Each that is ended makes the next one pass the bound: a chain longer than the stack is deep.
  const LENGTH = 50_000;
  for (let name = 0; name < LENGTH; name++) {
    accounts.push(budget.open(String(name), () => {
      log.push(String(name));
      accounts[name + 1]?.update(101);
    }));
  }
  accounts[0]!.update(101);
  assertEquals(log.length, LENGTH);
  assertEquals([budget.used, budget.addressCount], [1, 1]);
});

Deno.test("MemoryBudget refuses a bound that is no number of bytes", () => {
  assertThrows(
    () => new MemoryBudget({ total: -1, addressShare: 1 }),
    RangeError,
    'Cannot set up the memory budget: total is "-1", must be a number of bytes from 0',
  );
  const budget = new MemoryBudget({ total: 10, addressShare: 5 });
  for (const wrong of [NaN, null, "10", {}]) {
    assertThrows(
      () => budget.configure({ addressShare: wrong as number }),
      RangeError,
      `addressShare is "${wrong}"`,
    );
  }
  assertEquals(budget.limits, { total: 10, addressShare: 5 });
});

/** An account of the model. */
interface Modelled {
  address: string;
  held: number;
  open: boolean;
}

/** The one whose amount is the largest; of equals the first that is preferred. */
function greediest<Of>(all: Of[], amount: (one: Of) => number, preferred: (Of | undefined)[]): Of {
  const most = Math.max(...all.map(amount));
  const equals = all.filter((one) => amount(one) === most);
  return preferred.find((one) => one !== undefined && equals.includes(one)) ?? equals[0]!;
}

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("open" as const), of: fc.nat(4) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      of: fc.nat(40),
      bytes: fc.nat(60),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("close" as const), of: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("configure" as const),
      total: fc.integer({ min: 50, max: 200 }),
      addressShare: fc.integer({ min: 30, max: 200 }),
    }),
  },
);

Deno.test("MemoryBudget ends what a naive model ends, in any mix of operations", () => {
  const property = fc.property(
    fc.array(operation, { maxLength: 120, size: "max" }),
    (operations) => {
      let limits = { total: 150, addressShare: 80 };
      const budget = new MemoryBudget(limits);
      const accounts: MemoryAccount[] = [];
      const model: Modelled[] = [];
      const ends: number[] = [];

      const open = () => model.filter((one) => one.open);
      const heldBy = (address: string) =>
        open().filter((one) => one.address === address).reduce((sum, one) => sum + one.held, 0);
      const used = () => open().reduce((sum, one) => sum + one.held, 0);
      const holders = () => open().filter((one) => one.held > 0);
      const expected: number[] = [];
      /** Ends an account in the model; of equals that do not update, the one that was ended in fact. */
      const end = (address: string, updating: Modelled | undefined): boolean => {
        const candidates = open().filter((one) => one.address === address);
        const inFact = model[ends[expected.length] ?? -1];
        const ended = greediest(candidates, (one) => one.held, [updating, inFact]);
        assert(ended.held > 0);
        if (holders().length === 1) return false;
        ended.open = false;
        ended.held = 0;
        expected.push(model.indexOf(ended));
        return true;
      };
      const settle = (updating: Modelled | undefined, addresses: string[]) => {
        for (const address of addresses) {
          while (heldBy(address) > limits.addressShare && end(address, updating));
        }
        while (used() > limits.total) {
          const all = [...new Set(open().map((one) => one.address))];
          const inFact = model[ends[expected.length] ?? -1]?.address;
          if (!end(greediest(all, heldBy, [updating?.address, inFact]), updating)) break;
        }
      };

      for (const one of operations) {
        if (one.kind === "open") {
          const number = accounts.length;
          const address = String(one.of);
          model.push({ address, held: 0, open: true });
          accounts.push(budget.open(address, () => ends.push(number)));
        } else if (one.kind === "configure") {
          const { total, addressShare } = one;
          limits = { total, addressShare };
          // Shares first, so that the model need not know in which order addresses are looked at.
          budget.configure({ addressShare, total: Infinity });
          budget.configure({ total });
          const addresses = new Map(model.map((one, index) => [index, one.address] as const));
          const order = [
            ...new Set(ends.slice(expected.length).map((index) => addresses.get(index)!)),
          ];
          const others = [...new Set(addresses.values())].filter((one) => !order.includes(one));
          settle(undefined, [...order, ...others]);
        } else if (accounts.length > 0) {
          const number = one.of % accounts.length;
          const account = accounts[number]!;
          const modelled = model[number]!;
          if (one.kind === "close") {
            account.close();
            modelled.open = false;
            modelled.held = 0;
          } else {
            const grows = modelled.open && one.bytes > modelled.held;
            account.update(one.bytes);
            if (modelled.open) modelled.held = one.bytes;
            if (grows) settle(modelled, [modelled.address]);
          }
        }
        assertEquals(ends, expected);
        assertEquals(accounts.map((one) => one.held), model.map((one) => one.held));
        assertEquals(budget.used, used());
        assertEquals(budget.addressCount, new Set(open().map((one) => one.address)).size);
        assert(budget.used <= limits.total || holders().length === 1);
      }
    },
  );
  fc.assert(property, { numRuns: 2000 });
});
