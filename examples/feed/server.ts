/**
 * A feed that a client can catch up with: entries are numbered, the latest are kept, and `/feed?after=N` begins behind
 * the one of that number. Messages are delivered at most once, so the numbers tell what is missing. Run it by
 * `deno task example:feed`, open the page that it names, and do what it says.
 *
 * The entries are kept by this process alone. Keep them where all your processes can read them, such as in a stream of
 * NATS (JetStream) or of Redis, which number them too.
 *
 * @module
 */

import { port } from "../start.ts";
import { checkUpgrade, serve, upgradeWebSocket } from "../../mod.ts";
import { Topics } from "../../topics.ts";

const TOPIC = "feed";
const KEPT = 1000;
const MAX_BYTES = 1000;

const topics = new Topics();
const entries: string[] = [];
/** The number of the latest entry. */
let latest = 0;

function text(body: string, status: number, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers });
}

async function add(request: Request): Promise<Response> {
  const body = await request.text();
  if (body === "") return text("The entry is empty\n", 400);
  const entry = JSON.stringify({ number: ++latest, text: body });
  if (entries.push(entry) > KEPT) entries.shift();
  topics.publish(TOPIC, entry);
  return text(`${latest}\n`, 201);
}

function follow(request: Request, after: number): Response {
  const refusal = checkUpgrade(request);
  if (refusal !== undefined) return text("This is a WebSocket\n", refusal.status, refusal.headers);
  const { socket, response } = upgradeWebSocket(request, { maxMessageSize: MAX_BYTES });
  socket.onmessage = () => socket.close(1008, "Entries are added by POST");
  socket.onopen = () => {
    const first = latest - entries.length + 1;
    // Entries that are no longer kept, or numbers of a process before this one: the client begins anew.
    const isGone = after + 1 < first || after > latest;
    if (isGone) socket.send(JSON.stringify({ reset: first - 1 }));
    for (const entry of entries.slice(isGone ? 0 : after + 1 - first)) socket.send(entry);
    topics.subscribe(socket, TOPIC);
  };
  return response;
}

/** What to do, for a person who opens the server in a browser. */
function help(port: number): Response {
  const post = `curl --cacert certs/ca.crt --data hello https://localhost:${port}/feed`;
  return text(`Add an entry:\n${post}\nFollow:\ndeno task example:feed:client ${port}\n`, 200);
}

const server = serve({
  hostname: "127.0.0.1",
  port,
  cert: await Deno.readTextFile("certs/server.crt"),
  key: await Deno.readTextFile("certs/server.key"),
  maxBodySize: MAX_BYTES,
  onListen: ({ port }) => console.log(`Listening on https://localhost:${port}/`),
}, (request): Response | Promise<Response> => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/" && request.method === "GET") return help(server.addr.port);
  if (pathname !== "/feed") return text("There is nothing here\n", 404);
  if (request.method === "POST") return add(request);
  const after = searchParams.get("after") ?? "0";
  return /^\d{1,15}$/.test(after)
    ? follow(request, Number(after))
    : text("after is not the number of an entry\n", 400);
});
Deno.addSignalListener("SIGTERM", () => void server.shutdown());
await server.finished;
await topics.close();
Deno.exit();
