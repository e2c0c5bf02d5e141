/**
 * A network of its own for a program under test.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { assert } from "@std/assert";

/** What a command writes; nothing where there is no such command. */
export function output(command: string, ...args: string[]): string | undefined {
  try {
    const { success, stdout } = new Deno.Command(command, { args, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}

/** A network namespace whose cable can be pulled, and that can have a firewall: root alone may make one. */
export class Namespace implements Disposable {
  static readonly possible = output("id", "-u")?.trim() === "0" &&
    output("ip", "netns", "add", "wss-probe") !== undefined &&
    output("ip", "netns", "del", "wss-probe") !== undefined;
  readonly name = `wss-${Deno.pid}`;
  /** Its own address. */
  readonly address: string;
  /** The address of this end. */
  readonly #near: string;
  readonly #link = `wss${Deno.pid}`;

  /** @param subnet Tells those apart that there are at the same time. */
  constructor(subnet = 77) {
    this.address = `10.213.${subnet}.2`;
    this.#near = `10.213.${subnet}.1`;
    const run = (...args: string[]) => assert(output("ip", ...args) !== undefined, args.join(" "));
    run("netns", "add", this.name);
    run("link", "add", this.#link, "type", "veth", "peer", "name", "far", "netns", this.name);
    run("addr", "add", `${this.#near}/30`, "dev", this.#link);
    run("link", "set", this.#link, "up");
    run("-n", this.name, "addr", "add", `${this.address}/30`, "dev", "far");
    run("-n", this.name, "link", "set", "far", "up");
    run("-n", this.name, "link", "set", "lo", "up");
  }

  pull(): void {
    assert(output("ip", "link", "set", this.#link, "down") !== undefined);
  }

  /** Drops all that comes out of it, as a firewall does. */
  drop(): void {
    const rule = ["-n", this.name, "route", "add", "blackhole", this.#near];
    assert(output("ip", ...rule) !== undefined);
  }

  /** Lets it through again. */
  pass(): void {
    assert(output("ip", "-n", this.name, "route", "del", "blackhole", this.#near) !== undefined);
  }

  [Symbol.dispose](): void {
    output("ip", "link", "del", this.#link);
    output("ip", "netns", "del", this.name);
  }
}
