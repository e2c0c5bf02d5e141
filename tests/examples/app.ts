/**
 * `examples/app.ts` as its users run it, by the command of its task.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { WebSocket } from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  type Folder,
  listeningPort,
  Program,
} from "../programs.ts";
import { isDownloaded } from "./downloaded.ts";

/** The password of its user, `ada`. */
export const PASSWORD = "correct horse";

/** Whether it can be run here: what it imports must have been downloaded. */
export const CAN_RUN: boolean = await isDownloaded("hono", "srvx/static");

/** The application, running. */
export class App implements AsyncDisposable {
  readonly program: Program;
  readonly port: number;
  /** Its folder, with the certificates and what was uploaded. */
  readonly folder: Folder;
  readonly #ca: string;
  readonly #client: Deno.HttpClient;

  private constructor(program: Program, port: number, folder: Folder, ca: string) {
    this.program = program;
    this.port = port;
    this.folder = folder;
    this.#ca = ca;
    this.#client = Deno.createHttpClient({ caCerts: [ca] });
  }

  /** Starts it, and waits until it listens. */
  static async start(): Promise<App> {
    const { ca } = await developmentCertificates();
    const folder = await certificatesFolder();
    const options = { cwd: folder.path, env: { APP_PASSWORD: PASSWORD } };
    const program = Program.task("example:app", ["0"], options);
    return new App(program, await listeningPort(program), folder, ca);
  }

  get origin(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Sends a request, and reads the answer. */
  async ask(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(this.origin + path, { ...init, client: this.#client });
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  /** Tries to log in. */
  async logIn(name: string, password: string): Promise<Answer> {
    return await this.ask("/login", {
      method: "POST",
      body: new URLSearchParams({ name, password }),
    });
  }

  /** Logs in; returns the headers of a request of that session. */
  async session(): Promise<{ Cookie: string }> {
    const { headers } = await this.logIn("ada", PASSWORD);
    return { Cookie: headers.get("Set-Cookie")!.split(";")[0]! };
  }

  /** Opens the WebSocket of the live messages. */
  connect(headers: Record<string, string>): WebSocket {
    return new WebSocket(`wss://127.0.0.1:${this.port}/api/live`, {
      caCerts: [this.#ca],
      headers: { Origin: this.origin, ...headers },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.program[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** An answer that has been read. */
export interface Answer {
  status: number;
  headers: Headers;
  body: string;
}
