/**
 * The load generator: one process that opens sockets to one server, keeps it busy, and says in JSON
 * what that took.
 *
 * Started by `measure.ts` with a {@linkcode Job} in JSON as its argument; answers with an
 * {@linkcode Outcome}.
 *
 * @module
 */

import { inflateFirst, readMessage } from "./answers.ts";
import { type Endpoint, type LoadConnection, open } from "./connection.ts";
import { HttpConnection, requestOf } from "./http_connection.ts";
import { FrameStream, type Message, type Mode, toMessage } from "./frames.ts";
import { isBinary, messagesOf, type Size } from "./messages.ts";
import { Meter, sleep, type Stretch } from "./meter.ts";
import { Probe } from "./probe.ts";

/** What the load generator is to do. */
export interface Job extends Stretch {
  kind: "echo" | "workers" | "broadcast" | "deliveries" | "idle" | "handshakes" | "http";
  endpoint: Endpoint;
  /** The server's process. */
  pid: number;
  mode: Mode;
  /** Sockets that are open, or for handshakes, being opened. */
  connections: number;
  size: Size;
  /** Messages that a connection has on their way. */
  depth: number;
  /** Whether the next are sent when all of them are back. */
  batched?: boolean | undefined;
  /** Bytes of the body of each HTTP request; without, it asks for a body of `size`. */
  upload?: number | undefined;
}

/** What came of it. */
export interface Outcome {
  /** Numbers by the names of `metrics.ts`. */
  figures: Record<string, number>;
  /** The extensions agreed on. */
  extensions: string;
}

/** So many sockets are being opened at once. */
const OPENING = 16;

/** Sockets that are opened and closed before idle ones are measured, to have all code in memory. */
const IDLE_WARM_UP = 50;

/** Opens the sockets of a job, having checked on the first that the server does what it should. */
async function gather(job: Job, count = job.connections): Promise<LoadConnection[]> {
  const messages = messagesOf(job.size).map((text) => toMessage(text, isBinary(job.size)));
  const first = await open(job.endpoint, job.mode);
  const frames = await framesFor(job, first.extensions, messages);
  first.use(frames);
  check(job, await first.ask(), messages[0]!);

  const connections = [first];
  let left = count - 1;
  await Promise.all(Array.from({ length: OPENING }, async () => {
    while (left-- > 0) {
      const connection = await open(job.endpoint, job.mode);
      connection.use(frames);
      connections.push(connection);
    }
  }));
  return connections;
}

/** Frames as the server agreed to receive them (RFC 7692 section 7.1). */
function framesFor(job: Job, extensions: string, messages: Message[]): Promise<FrameStream> {
  if (job.mode !== "plain" && extensions === "") {
    throw new Error("Cannot measure: the server does not compress");
  }
  const forgets = /client_no_context_takeover/i.test(extensions);
  return FrameStream.of(messages, {
    mode: job.mode === "context" && forgets ? "no-context" : job.mode,
    windowBits: Number(/client_max_window_bits *= *"?(\d+)/i.exec(extensions)?.[1] ?? 15),
    depth: job.depth,
  });
}

function check({ mode }: Job, answer: Uint8Array, message: Message): void {
  const { payload, compressed } = readMessage(answer);
  if (compressed !== (mode !== "plain")) {
    throw new Error(`Cannot measure: the answer is ${compressed ? "" : "not "}compressed`);
  }
  const received = compressed ? inflateFirst(payload) : payload;
  if (received.toBase64() !== message.payload.toBase64()) {
    throw new Error("Cannot measure: the answer differs from what was sent");
  }
}

/** Measures the server that a meter's counts come from. */
async function measure(job: Job, probe: Probe, meter: Meter, bytes = () => 0) {
  const onTheirWay = job.connections * job.depth;
  const window = await meter.run(job, onTheirWay, async () => ({
    server: await probe.read(job.pid),
    bytes: bytes(),
  }));
  const { count, milliseconds, ownCpu, p50, p99, before, after } = window;
  const cpu = (after.server.cpu - before.server.cpu) / count;
  return {
    cpu,
    ...typeof job.size === "number" && { perKiB: cpu / job.size * 1024 },
    rate: count / milliseconds * 1000,
    p50,
    p99,
    bytes: (after.bytes - before.bytes) / count,
    peak: after.server.peak,
    loadCpu: ownCpu / count,
    loadBusy: ownCpu / milliseconds / 1000,
  };
}

/** WebSockets whose messages come back. */
async function echo(job: Job, probe: Probe): Promise<Outcome> {
  return await exchange(job, probe, await gather(job));
}

/** Kept connections that send one HTTP request after another. */
async function http(job: Job, probe: Probe): Promise<Outcome> {
  const { endpoint, upload, size } = job;
  const bodyLength = upload === undefined ? Number(size) : String(upload).length;
  const connections: HttpConnection[] = [];
  for (let i = 0; i < job.connections; i++) {
    connections.push(await HttpConnection.open(endpoint, requestOf(upload), bodyLength));
  }
  const { figures, extensions } = await exchange(job, probe, connections);
  delete figures["perKiB"];
  return { figures, extensions };
}

/** What answers are counted on. */
type Exchanger = Pick<LoadConnection, keyof HttpConnection>;

/** Every connection has `depth` messages on their way, and sends the next when one is back, or all are. */
async function exchange(job: Job, probe: Probe, connections: Exchanger[]): Promise<Outcome> {
  const meter = new Meter();
  const ends = connections.map((connection) => {
    const sentAt = new Float64Array(job.depth).fill(performance.now());
    let answered = 0;
    const end = connection.listen((count) => {
      const now = performance.now();
      for (let i = 0; i < count; i++) {
        const turn = answered++ % job.depth;
        meter.note(now - sentAt[turn]!);
        sentAt[turn] = now;
      }
      meter.count += count;
      if (!job.batched) connection.send(count);
      else if (answered % job.depth === 0) connection.send(job.depth);
    });
    connection.send(job.depth);
    return end;
  });
  return await finish(job, probe, meter, connections, ends);
}

/** One socket sends, all receive; when all have, it sends the next. */
async function broadcast(job: Job, probe: Probe): Promise<Outcome> {
  const connections = await gather(job);
  const speaker = connections[0]!;
  const meter = new Meter();
  let missing = connections.length;
  let sentAt = performance.now();
  const ends = connections.map((connection) =>
    connection.listen((count) => {
      meter.count += count;
      missing -= count;
      if (missing > 0) return;
      const now = performance.now();
      meter.note(now - sentAt);
      missing = connections.length;
      sentAt = now;
      speaker.send(1);
    })
  );
  speaker.send(1);
  return await finish(job, probe, meter, connections, ends);
}

/**
 * One socket sends, and sends the next when its own copy is back; the others do not read before the end, so that
 * nearly all of both CPUs is the server's. It was opened last, so its copy comes when the others have theirs.
 */
async function deliveries(job: Job, probe: Probe): Promise<Outcome> {
  const [first, ...others] = await gather(job);
  const connections = [first!, ...others];
  const speaker = connections.pop()!;
  const { extensions } = speaker;
  const publishFor = async (milliseconds: number) => {
    const startedAt = performance.now();
    let sent = 0;
    for (; performance.now() < startedAt + milliseconds; sent++) await speaker.ask();
    await Promise.all(connections.map((connection) => connection.receive(sent)));
    return { count: sent * job.connections, milliseconds: performance.now() - startedAt };
  };
  await publishFor(job.warmUp);
  const before = await probe.read(job.pid);
  const { count, milliseconds } = await publishFor(job.duration);
  const after = await probe.read(job.pid);
  for (const connection of [...connections, speaker]) connection.close();
  const figures = {
    rate: count / milliseconds * 1000,
    cpu: (after.cpu - before.cpu) / count,
    peak: after.peak,
  };
  return { figures, extensions };
}

/** Measures while the connections are at work; one that fails ends it at once. */
async function finish(
  job: Job,
  probe: Probe,
  meter: Meter,
  connections: Exchanger[],
  ends: Promise<void>[],
): Promise<Outcome> {
  const received = () => connections.reduce((total, { received }) => total + received, 0);
  const measuring = measure(job, probe, meter, received);
  await Promise.race([measuring, ...ends]);
  for (const connection of connections) connection.close();
  await Promise.all(ends);
  return { figures: await measuring, extensions: connections[0]!.extensions };
}

/** Sockets that have each sent and received one message, and are silent since. */
async function idle(job: Job, probe: Probe): Promise<Outcome> {
  const askAll = async (count: number) => {
    const connections = await gather(job, count);
    await Promise.all(connections.slice(1).map((connection) => connection.ask()));
    return connections;
  };
  for (const connection of await askAll(IDLE_WARM_UP)) connection.close();
  await sleep(job.warmUp);
  const before = await probe.read(job.pid);
  const connections = await askAll(job.connections);
  await sleep(job.duration);
  const after = await probe.read(job.pid);
  for (const connection of connections) connection.close();
  return {
    figures: {
      memory: (after.resident - before.resident) / job.connections,
      peak: after.peak,
    },
    extensions: connections[0]!.extensions,
  };
}

/** Sockets that are opened and cut off again. */
async function handshakes(job: Job, probe: Probe): Promise<Outcome> {
  const meter = new Meter();
  let extensions = "";
  let done = false;
  const openers = Array.from({ length: job.connections }, async () => {
    while (!done) {
      const startedAt = performance.now();
      const connection = await open(job.endpoint, job.mode);
      meter.note(performance.now() - startedAt);
      meter.count++;
      extensions = connection.extensions;
      connection.close();
    }
  });
  const measuring = measure(job, probe, meter).finally(() => done = true);
  const [{ bytes: _, perKiB: __, ...figures }] = await Promise.all([measuring, ...openers]);
  return { figures: { ...figures, perCpuSecond: 1e6 / figures.cpu }, extensions };
}

const KINDS = { echo, workers: echo, broadcast, deliveries, idle, handshakes, http };

if (import.meta.main) {
  const job: Job = JSON.parse(Deno.args[0]!);
  // A floor compresses nothing, whatever the others do.
  if (!job.endpoint.webSocket) job.mode = "plain";
  await using probe = new Probe();
  console.log(JSON.stringify(await KINDS[job.kind](job, probe)));
}
