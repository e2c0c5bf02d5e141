/**
 * A server leaves while clients are busy, and another takes its place, in the order of events that Kubernetes
 * has: the new one is ready, the old one gets `SIGTERM`, and only later do its clients go elsewhere.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type HandshakeError, WebSocket } from "../mod.ts";
import { Balancer } from "./balancer.ts";
import {
  certificatesFolder,
  developmentCertificates,
  handshake,
  once,
  onEachTransport,
  Peer,
  RawPeer,
  startServer,
  stop,
  TRANSPORTS,
} from "./programs.ts";
import { next } from "./websocket/peers.ts";

const GET = "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/** How long a client thinks before its next message, in milliseconds: some never leave a silence. */
const THINKING_MS = [10, 10, 10, 100, 100, 100];

/** What clients go through, by the balancer. */
class Traffic {
  readonly #balancer: Balancer;
  readonly #url: string;
  readonly #ca: string;
  /** Requests and connections that got no answer. */
  readonly failures: string[] = [];
  /** When an upgrade was refused. */
  readonly refusals: number[] = [];
  /** How sockets of which the server closed the connection ended. */
  readonly closes: [code: number, wasClean: boolean][] = [];
  /** Messages and their answers, of each client. */
  readonly answered: string[][] = THINKING_MS.map(() => []);
  requests = 0;
  isOver = false;
  readonly #work: Promise<void>[];

  constructor(balancer: Balancer, ca: string) {
    this.#balancer = balancer;
    this.#url = `wss://127.0.0.1:${balancer.port}/ws`;
    this.#ca = ca;
    this.#work = [
      ...THINKING_MS.map((_, client) => this.#talk(client)),
      this.#comeAndGo(),
      this.#request(false),
      this.#request(true),
    ];
  }

  async end(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.#work);
  }

  /** Resolves when each client has so many answers more. */
  async moreAnswers(count: number): Promise<void> {
    const wanted = this.answered.map(({ length }) => length + count);
    while (this.answered.some(({ length }, client) => length < wanted[client]!)) {
      await this.#balancer.later(10);
    }
  }

  /** An open socket, or nothing where the upgrade was refused. */
  async #open(): Promise<WebSocket | undefined> {
    const socket = new WebSocket(this.#url, { caCerts: [this.#ca] });
    const event = await Promise.race([
      next<Event>(socket, "open"),
      next<ErrorEvent>(socket, "error"),
    ]);
    if (event.type === "open") return socket;
    const { status, headers, message } = (event as ErrorEvent).error as HandshakeError;
    if (status === 503) {
      this.refusals.push(performance.now());
      assertMatch(headers.get("Retry-After")!, /^[1-9]\d*$/);
    } else {
      this.failures.push(`upgrade: ${message}`);
    }
    await this.#balancer.later(20);
    return undefined;
  }

  /** Sends one message after the other, again after a close if its answer has not come. */
  async #talk(client: number): Promise<void> {
    const answered = this.answered[client]!;
    while (!this.isOver) {
      const socket = await this.#open();
      if (socket === undefined) continue;
      const closed = next<CloseEvent>(socket, "close");
      const isClosed = closed.then(() => undefined);
      while (!this.isOver) {
        const answer = next(socket, "message");
        socket.send(`${client}:${answered.length}`);
        const event = await Promise.race([answer, isClosed]);
        if (event === undefined) break;
        answered.push(event.data);
        await Promise.race([this.#balancer.later(THINKING_MS[client]!), isClosed]);
      }
      if (this.isOver) socket.close();
      const { code, wasClean } = await closed;
      if (!this.isOver) this.closes.push([code, wasClean]);
    }
  }

  /** Opens one socket after the other. */
  async #comeAndGo(): Promise<void> {
    while (!this.isOver) {
      const socket = await this.#open();
      if (socket === undefined) continue;
      const closed = next<CloseEvent>(socket, "close");
      socket.close();
      await closed;
    }
  }

  /** Sends one request after the other, on a connection each or as long as one is kept. */
  async #request(keeps: boolean): Promise<void> {
    let peer: RawPeer | undefined;
    while (!this.isOver) {
      try {
        peer ??= await RawPeer.connect(this.#balancer.port);
        const { status, headers } = await peer.request(GET);
        assertEquals(status, 404);
        this.requests++;
        if (keeps && headers.get("Connection") !== "close") continue;
      } catch (error) {
        this.failures.push(`request: ${error}`);
      }
      peer?.close();
      peer = undefined;
      await this.#balancer.later(5);
    }
    peer?.close();
  }
}

/** The messages that a server has logged as received. */
function received(stdout: string[]): string[] {
  return stdout.flatMap((line) => /recebida do cliente: (.+)/.exec(line)?.[1] ?? []);
}

for (
  const [name, flags] of [
    ...TRANSPORTS.map(({ name, flags }) => [name, flags] as const),
    ["workers", ["--workers=2"]] as const,
  ]
) {
  once(
    `server.ts --drain refuses nothing while it is ready, and loses no message [${name}]`,
    async () => {
      await using folder = await certificatesFolder();
      const { ca } = await developmentCertificates();
      const start = (...more: string[]) =>
        startServer(["--mode=echo", ...flags, ...more], { cwd: folder.path });
      await using old = await start("--drain=3000", "--spread=500", "--grace=2000");
      await using balancer = new Balancer();
      const backend = await balancer.add(old.port);
      const traffic = new Traffic(balancer, ca);
      await traffic.moreAnswers(3);

      await using other = await start();
      await balancer.add(other.port);
      await traffic.moreAnswers(3);
      old.program.kill("SIGTERM");
      const left = await old.program.end();
      await traffic.moreAnswers(3);
      await traffic.end();
      const stayed = await stop(other);

      assertEquals(left.code, 0);
      // The runtime's own pair reports a Close frame that crosses a message as an error with code 0.
      const crossing = name === "runtime" ? "Erro ao ler mensagem: 0" : undefined;
      assertEquals(left.stderr.filter((line) => line !== crossing), []);
      assertEquals(traffic.failures, []);
      assert(traffic.requests > 20, `${traffic.requests} requests`);
      assert(traffic.closes.length >= THINKING_MS.length / 2, `${traffic.closes.length} closes`);
      // The runtime's own pair takes the socket for closed then, and its process may end before that is true.
      const ends = name === "runtime" ? ["1001,true", "1006,false"] : ["1001,true"];
      for (const close of traffic.closes) assert(ends.includes(String(close)), String(close));

      // The balancer sends some to a server that has said no; none is refused by one that still says yes.
      const lastYes = backend.probed.findLast(({ isReady }) => isReady)!.askedAt;
      const firstRefusal = Math.min(...traffic.refusals);
      assert(lastYes < firstRefusal, `${lastYes - firstRefusal} ms after it refused, it said yes`);

      // Each message has its answer, in its order, and was taken once by one of the two: what a server has taken,
      // it has answered, as a client sends again what has no answer.
      traffic.answered.forEach((answers, client) => {
        assertEquals(answers, answers.map((_, i) => `${client}:${i}`));
      });
      const taken = [...received(left.stdout), ...received(stayed.stdout)].sort();
      assertEquals(taken, traffic.answered.flat().sort());
    },
  );
}

onEachTransport(
  "server.ts --drain goes on serving, then closes with --close-code",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    const args = [...flags, "--drain=1500", "--close-code=1012", "--lang=en"];
    await using server = await startServer(args, { cwd: folder.path });
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    server.program.kill("SIGTERM");
    assertEquals(
      await server.program.stdout.match(/^Stopping/),
      "Stopping in 1500 ms: /healthz answers 503 and new WebSockets are refused",
    );
    assertEquals(await peer.ask("still there?"), "Retorno do servidor!");
    assertEquals((await peer.closed).code, 1012);
    assertEquals((await server.program.end()).code, 0);
  },
);

onEachTransport(
  "server.ts drains on SIGTERM and not on SIGINT, and exits at once on a second signal",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    const args = [...flags, "--drain=600000", "--spread=600000"];
    {
      await using server = await startServer(args, { cwd: folder.path });
      await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
      server.program.kill("SIGINT");
      assertEquals((await peer.closed).code, 1001);
      assertEquals((await server.program.end()).code, 0);
    }
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      await using server = await startServer(args, { cwd: folder.path });
      server.program.kill("SIGTERM");
      await server.program.stdout.match(/^Encerrando/);
      using peer = await RawPeer.connect(server.port);
      const { status, headers } = await peer.request(handshake("/ws"));
      assertEquals(status, 503);
      assertMatch(headers.get("Retry-After")!, /^[1-9]\d{0,2}$/);
      server.program.kill(signal);
      assertEquals((await server.program.end()).code, code);
    }
  },
);
