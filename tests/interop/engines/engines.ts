/**
 * NATS and Redis as Debian has them: as children of the test, in the foreground, on a free port of 127.0.0.1, with a
 * configuration in a folder of their own.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import type { DevelopmentCertificates } from "../../../certs/generate.ts";
import type { Backplane } from "../../../topics.ts";
import { NatsBackplane, type NatsBackplaneOptions } from "../../../nats.ts";
import { RedisBackplane } from "../../../redis.ts";
import { certificatesFolder, type Folder, freePort, Program, RUNNABLE } from "../../programs.ts";
import type { Namespace } from "../../namespace.ts";
import { succeeds } from "../peer.ts";

/** How an engine is to be run. */
export interface EngineConfig {
  /** The only user, if there is one. */
  user?: { name: string; password: string };
  /** The token below the prefix that the user's topics must begin with; all topics are permitted by default. */
  permitted?: string;
  /** A token or a password for all, in place of a user. */
  token?: string;
  /** Whether it speaks TLS alone, and whether it asks for a certificate. */
  tls?: "server" | "both";
  /** Where it listens; on 127.0.0.1 by default. */
  namespace?: Namespace;
  /** The development certificates by default. Its authority is trusted for the certificates of clients. */
  certificates?: DevelopmentCertificates;
}

/** A kind of engine. */
export interface Kind {
  name: string;
  ignore: boolean;
  /** The scheme of its URLs, and that of those with TLS. */
  schemes: [plain: string, secure: string];
  /** Writes its configuration. Certificates are in `certs/`. */
  config(port: number, config: EngineConfig): string;
  command(path: string): [file: string, args: string[]];
  /** The line that tells that it listens, and the stream that it comes on. */
  ready: RegExp;
  stream: "stdout" | "stderr";
  /** A backplane over it. */
  backplane(options: NatsBackplaneOptions): Backplane;
}

const LOOPBACK = "127.0.0.1";

const NATS_SERVER = "/usr/sbin/nats-server";
const REDIS_SERVER = "/usr/bin/redis-server";

const runnable = RUNNABLE && Deno.build.os === "linux";

export const NATS: Kind = {
  name: "NATS",
  ignore: !runnable || !await succeeds(NATS_SERVER, ["--version"]),
  schemes: ["nats", "tls"],
  config: (port, { user, permitted, token, tls, namespace }) => `
    listen: "${namespace?.address ?? LOOPBACK}:${port}"
    ${
    user === undefined ? "" : `authorization { users: [ {
      user: "${user.name}", password: "${user.password}"
      ${
      permitted === undefined ? "" : `permissions: {
        publish: "topics.${permitted}.>", subscribe: "topics.${permitted}.>"
      }`
    }
    } ] }`
  }
    ${token === undefined ? "" : `authorization { token: "${token}" }`}
    ${
    tls === undefined ? "" : `tls {
      cert_file: "certs/server.crt", key_file: "certs/server.key", ca_file: "certs/ca.crt"
      verify: ${tls === "both"}
    }`
  }`,
  command: (path) => [NATS_SERVER, ["-c", path]],
  ready: /Server is ready/,
  stream: "stderr",
  backplane: (options) => new NatsBackplane(options),
};

export const REDIS: Kind = {
  name: "Redis",
  ignore: !runnable || !await succeeds(REDIS_SERVER, ["--version"]),
  schemes: ["redis", "rediss"],
  config: (port, { user, permitted, token, tls, namespace }) => `
bind ${namespace?.address ?? LOOPBACK}
port ${tls === undefined ? port : 0}
protected-mode no
save ""
appendonly no
daemonize no
${
    user === undefined ? "" : `user default off
user ${user.name} on >${user.password} ~* +@all ${
      permitted === undefined ? "allchannels" : `resetchannels &topics.${permitted}.*`
    }`
  }
${token === undefined ? "" : `requirepass ${token}`}
${
    tls === undefined ? "" : `tls-port ${port}
tls-cert-file certs/server.crt
tls-key-file certs/server.key
tls-ca-cert-file certs/ca.crt
tls-auth-clients ${tls === "both" ? "yes" : "no"}`
  }
`,
  command: (path) => [REDIS_SERVER, [path]],
  ready: /Ready to accept connections/,
  stream: "stdout",
  backplane: ({ token, ...options }) =>
    new RedisBackplane({ ...options, ...(token && { password: token }) }),
};

/** An engine that runs. */
export class Engine implements AsyncDisposable {
  readonly port: number;
  readonly #kind: Kind;
  readonly #folder: Folder;
  readonly #config: EngineConfig;
  #program: Program | undefined;

  private constructor(kind: Kind, folder: Folder, port: number, config: EngineConfig) {
    this.#kind = kind;
    this.#folder = folder;
    this.port = port;
    this.#config = config;
  }

  /** Starts one, and waits until it listens. */
  static async start(kind: Kind, config: EngineConfig = {}): Promise<Engine> {
    const engine = await Engine.prepare(kind, config);
    await engine.start();
    return engine;
  }

  /** One that is yet to be started. */
  static async prepare(kind: Kind, config: EngineConfig = {}): Promise<Engine> {
    const folder = await certificatesFolder(config.certificates);
    const engine = new Engine(kind, folder, freePort(), config);
    await Deno.writeTextFile(`${folder.path}/engine.conf`, kind.config(engine.port, config));
    return engine;
  }

  /** Starts it, on the same port as before. */
  async start(): Promise<void> {
    let [file, args] = this.#kind.command("engine.conf");
    const { namespace } = this.#config;
    if (namespace !== undefined) {
      [file, args] = ["ip", ["netns", "exec", namespace.name, file, ...args]];
    }
    const program = this.#program = new Program(file, args, { cwd: this.#folder.path });
    await program[this.#kind.stream].match(this.#kind.ready);
  }

  get pid(): number {
    return this.#program!.pid;
  }

  /** Its URL. */
  url(credentials = ""): string {
    const { tls, namespace } = this.#config;
    const scheme = this.#kind.schemes[tls === undefined ? 0 : 1];
    return `${scheme}://${credentials}${namespace?.address ?? LOOPBACK}:${this.port}`;
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#program!.kill(signal);
  }

  /** Ends it at once, as a crash does. */
  async crash(): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
    this.#program = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash();
    await this.#folder[Symbol.asyncDispose]();
  }
}
