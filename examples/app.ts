/**
 * A whole application on one port: a login form with a session cookie, an upload with its progress, static
 * files, and a WebSocket for those who are logged in. Run it by `deno task example:app`.
 *
 * @module
 */

import { port } from "./start.ts";
import { checkUpgrade, prepare, serve, type ServeHandlerInfo, upgradeWebSocket } from "../mod.ts";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { HTTPException } from "hono/http-exception";
import { secureHeaders } from "hono/secure-headers";
import { staticMiddleware } from "srvx/static";
import { hashPassword, isPassword, mayTry } from "./app/password.ts";
import {
  endSession,
  type Session,
  SESSION_SECONDS,
  sessions,
  startSession,
} from "./app/sessions.ts";

const UPLOADS = "uploads";
const MAX_UPLOAD = 64 * 1024 * 1024;

/** The only user; the password of a real one would be hashed when it is set. */
const USER = "ada";
const password = Deno.env.get("APP_PASSWORD") ?? crypto.randomUUID();
const passwordHash = await hashPassword(password);

/** Users whose upload is under way. */
const uploading = new Set<string>();

const app = new Hono<{
  Bindings: ServeHandlerInfo<Deno.NetAddr>;
  Variables: { session: Session };
}>();

app.use(secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
  },
  // Turn it on for a domain of your own. For `localhost`, it would hold on every port.
  strictTransportSecurity: false,
}));

// Pages of another origin must not act for the user. Browsers send `Origin` with all that could.
app.use(async (c, next) => {
  const origin = c.req.header("Origin");
  const isForeign = origin !== undefined && origin !== new URL(c.req.url).origin;
  return isForeign ? c.text("Requests of this origin are refused\n", 403) : await next();
});

app.post("/login", bodyLimit({ maxSize: 4096 }), async (c) => {
  if (!mayTry(c.env.remoteAddr.hostname)) {
    return c.text("Too many attempts, try again in a minute\n", 429, { "Retry-After": "60" });
  }
  const form = new URLSearchParams(await c.req.text());
  if (!await isPassword(form.get("password") ?? "", passwordHash) || form.get("name") !== USER) {
    return c.text("Wrong name or password\n", 401);
  }
  setCookie(c, "session", startSession(USER).id, {
    prefix: "host",
    httpOnly: true,
    secure: true,
    sameSite: "Strict",
    maxAge: SESSION_SECONDS,
  });
  return c.body(null, 204);
});

app.use("/api/*", async (c, next) => {
  const session = sessions.get(getCookie(c, "session", "host") ?? "");
  if (session === undefined) return c.text("Log in first\n", 401);
  c.set("session", session);
  c.header("Cache-Control", "no-store");
  return await next();
});

app.get("/api/session", (c) => c.json({ user: c.var.session.user }));

app.post("/api/logout", (c) => {
  endSession(c.var.session);
  deleteCookie(c, "session", { prefix: "host", secure: true });
  return c.body(null, 204);
});

// The file is read no faster than the disk takes it. A user has one, which the next one replaces.
app.put("/api/upload", async (c) => {
  const { user } = c.var.session;
  const { body } = c.req.raw;
  if (body === null) return c.text("The file is empty\n", 400);
  if (uploading.has(user)) return c.text("Another upload is under way\n", 409);
  uploading.add(user);
  const part = `${UPLOADS}/${user}.part`;
  try {
    const file = await Deno.open(part, { write: true, create: true, truncate: true });
    await body.pipeTo(file.writable);
    const { size } = await Deno.stat(part);
    await Deno.rename(part, `${UPLOADS}/${user}`);
    tellAll({ user, size });
    return c.json({ size }, 201);
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw error;
  } finally {
    uploading.delete(user);
  }
});

app.get("/api/live", (c) => {
  const refusal = checkUpgrade(c.req.raw);
  if (refusal !== undefined) return c.newResponse("This is a WebSocket\n", refusal);
  const { sockets } = c.var.session;
  const { socket, response } = upgradeWebSocket(c.req.raw, { maxMessageSize: 1024 });
  sockets.add(socket);
  socket.onclose = () => sockets.delete(socket);
  return response;
});

/** Sends a message to everybody who is logged in; it is compressed once for all. */
function tellAll(event: { user: string; size: number }): void {
  const message = prepare(JSON.stringify(event));
  for (const { sockets } of sessions.values()) {
    for (const socket of sockets) if (socket.readyState === socket.OPEN) socket.send(message);
  }
}

// Deno 2.9 fails to send a stream of `node:zlib`, which `compress` makes of a file, and may crash.
const files = staticMiddleware({ dir: `${import.meta.dirname}/app/static`, compress: false });
app.get("*", (c) => files(c.req.raw, () => c.notFound()));

app.onError((error, c) => {
  if (error instanceof HTTPException) return error.getResponse();
  // Nobody takes this answer, and nobody needs to know of a client that has gone.
  if (c.req.raw.signal.aborted) return c.body(null);
  // `serve` answers: 413 where the body is over its limit, otherwise 500.
  throw error;
});

await Deno.mkdir(UPLOADS, { recursive: true });
const server = serve({
  hostname: "127.0.0.1",
  port,
  cert: await Deno.readTextFile("certs/server.crt"),
  key: await Deno.readTextFile("certs/server.key"),
  maxBodySize: MAX_UPLOAD,
  onListen({ port }) {
    console.log(`Listening on https://localhost:${port}/`);
    if (!Deno.env.has("APP_PASSWORD")) console.log(`Log in as ${USER}, password ${password}`);
  },
}, app.fetch);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => void server.shutdown());
}
await server.finished;
Deno.exit();
