/**
 * A chat: rooms, names, who is there, the latest messages, and pages that come back by themselves. Run it by
 * `deno task example:chat`. Servers with the same `CHAT_BACKPLANE`, such as `nats://127.0.0.1`, share their rooms. A
 * message is delivered at most once, so who is there is told every two seconds, and forgotten after six.
 */

import { port } from "../start.ts";
import { checkUpgrade, serve, upgradeWebSocket, type WebSocket } from "../../mod.ts";
import { Topics, type TopicSocket, topicToken } from "../../topics.ts";

/** Bounds of rooms, of names and messages in characters, and of the messages kept; how often presence is told. */
const [MAX_ROOMS, MAX_NAME, MAX_TEXT, HISTORY, HEARTBEAT_MS] = [1000, 32, 1000, 50, 2000];

const engine = Deno.env.get("CHAT_BACKPLANE");
const backplane = engine && new (await import("../../nats.ts")).NatsBackplane({ servers: engine });
const topics = new Topics(backplane ? { backplane } : {});
topics.addEventListener("backplane", ({ error }) => {
  console.error(error ? `Rooms are not shared: ${(error as Error).message}` : "Rooms are shared");
});
const page = await Deno.readTextFile(new URL("page.html", import.meta.url));
const server = crypto.randomUUID();
const rooms = new Map<string, Room>();

/** A room that somebody is in, on this server. */
class Room {
  readonly #people = new Map<WebSocket, string>();
  readonly #history: string[] = [];
  readonly #name: string;
  /** Hears what pages hear, also from other servers. */
  readonly #ear = Object.assign(new EventTarget(), {
    readyState: 1,
    bufferedAmount: 0,
    send: (message: string) => {
      if (this.#history.push(message) > HISTORY) this.#history.shift();
    },
    close() {},
  }) as TopicSocket;

  constructor(name: string) {
    this.#name = topicToken(name);
    rooms.set(name, this);
    topics.subscribe(this.#ear, `messages.${this.#name}`);
  }

  join(socket: WebSocket, name: string): void {
    for (const message of this.#history) socket.send(message);
    topics.subscribe(socket, `messages.${this.#name}`);
    topics.subscribe(socket, `presence.${this.#name}`);
    this.#people.set(socket, name);
    this.tell();
  }

  /** Returns whether anybody is left. */
  leave(socket: WebSocket): boolean {
    this.#people.delete(socket);
    this.tell();
    if (this.#people.size === 0) topics.unsubscribe(this.#ear, `messages.${this.#name}`);
    return this.#people.size > 0;
  }

  say(name: string, text: string): void {
    const message = JSON.stringify({ id: crypto.randomUUID(), name, text });
    topics.publish(`messages.${this.#name}`, message);
  }

  /** Tells who is in the room on this server. */
  tell(): void {
    const names = [...this.#people.values()];
    topics.publish(`presence.${this.#name}`, JSON.stringify({ server, names }));
  }
}

function text(body: string, status: number, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers });
}

/** A name that fits, without control characters. */
function isName(name: string | null): name is string {
  return name !== null && name.trim() !== "" && name.length <= MAX_NAME && !/\p{Cc}/u.test(name);
}

function join(request: Request, parameters: URLSearchParams): Response {
  const refusal = checkUpgrade(request);
  if (refusal !== undefined) return text("This is a WebSocket\n", refusal.status, refusal.headers);
  const [key, name] = [parameters.get("room"), parameters.get("name")];
  if (!isName(key) || !isName(name)) return text("The room or the name does not fit\n", 400);
  // Pages of another origin must not talk for the user.
  if (new URL(request.headers.get("Origin") ?? request.url).host !== new URL(request.url).host) {
    return text("Requests of this origin are refused\n", 403);
  }
  if (!rooms.has(key) && rooms.size >= MAX_ROOMS) {
    return text("There are as many rooms as there may be\n", 503, { "Retry-After": "60" });
  }
  const { socket, response } = upgradeWebSocket(request, { maxMessageSize: 4 * MAX_TEXT });
  socket.onopen = () => {
    const room = rooms.get(key) ?? new Room(key);
    room.join(socket, name);
    socket.onmessage = ({ data }) => {
      if (typeof data === "string" && data.trim() !== "") room.say(name, data.slice(0, MAX_TEXT));
    };
    socket.onclose = () => void (room.leave(socket) || rooms.delete(key));
  };
  return response;
}

const http = serve({
  hostname: "127.0.0.1",
  port,
  cert: await Deno.readTextFile("certs/server.crt"),
  key: await Deno.readTextFile("certs/server.key"),
  onListen: ({ port }) => console.log(`Listening on https://localhost:${port}/`),
}, (request): Response => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/chat") return join(request, searchParams);
  if (pathname === "/healthz") return text("", http.ready ? 200 : 503);
  if (pathname !== "/") return text("There is nothing here\n", 404);
  const nonce = crypto.randomUUID();
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  return text(page.replaceAll("{nonce}", nonce), 200, {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy,
    "Cache-Control": "no-store",
  });
});

setInterval(() => rooms.forEach((room) => room.tell()), HEARTBEAT_MS);
Deno.addSignalListener("SIGTERM", () => void http.shutdown());
await http.finished;
await topics.close();
Deno.exit();
