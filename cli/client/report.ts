/**
 * What the client prints: lines for a person, or JSON for a program.
 *
 * @module
 */

import type { Output } from "../output.ts";

/** Reports what happened, as a line for a person or as an object for a program. */
export class Report {
  readonly #json: boolean;
  readonly #output: Output;
  constructor(json: boolean, output: Output) {
    this.#json = json;
    this.#output = output;
  }

  /** Reports the exchange itself, on standard output. */
  out(line: string, event: Record<string, unknown>): void {
    this.#output.out(this.#json ? JSON.stringify(event) : line);
  }

  /** Reports what only programs need. */
  json(event: Record<string, unknown>): void {
    if (this.#json) this.#output.out(JSON.stringify(event));
  }

  /** Reports a remark on standard error. As JSON it goes to standard output, in order with the other events. */
  err(line: string, event: Record<string, unknown>): void {
    if (this.#json) this.#output.out(JSON.stringify(event));
    else this.#output.err(line);
  }

  /** Reports to a person what an event has told a program already. */
  remark(line: string): void {
    if (!this.#json) this.#output.err(line);
  }
}
