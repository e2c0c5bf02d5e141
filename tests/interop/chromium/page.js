/**
 * What the page does: its tests call these functions by name, and get what they return.
 *
 * @module
 */

/** Opens a socket of the browser's own. */
async function opened(path) {
  const socket = new WebSocket(new URL(path, `wss://${location.host}`));
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`Cannot open ${path}`));
  });
  return socket;
}

/** How a socket ends. */
function ended(socket) {
  return new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  });
}

/** A message of `size` bytes. */
function message(size, binary) {
  // The word has 8 bytes.
  if (!binary) return "página ".repeat(size / 8) + "x".repeat(size % 8);
  return Uint8Array.from({ length: size }, (_, i) => (i * i) >>> 5).buffer;
}

function isSame(actual, expected) {
  if (typeof actual === "string" || typeof expected === "string") return actual === expected;
  const [left, right] = [new Uint8Array(actual), new Uint8Array(expected)];
  return left.length === right.length && left.every((byte, i) => byte === right[i]);
}

/** Sends messages of these sizes, one by one and then all at once if there are several, and closes. */
async function exchange(path, sizes) {
  const socket = await opened(path);
  const messages = sizes.flatMap((size) => [message(size, false), message(size, true)]);
  const wrong = [];
  for (const [i, sent] of messages.entries()) {
    socket.send(sent);
    const [received] = await next(socket, 1);
    if (!isSame(received, sent)) wrong.push(i);
  }
  if (sizes.length > 1) {
    for (const sent of messages) socket.send(sent);
    const received = await next(socket, messages.length);
    for (const [i, sent] of messages.entries()) if (!isSame(received[i], sent)) wrong.push(i);
  }
  const end = ended(socket);
  socket.close(4999, "opção");
  return { extensions: socket.extensions, wrong, end: await end };
}

/** The next `count` messages. */
function next(socket, count) {
  const received = [];
  return new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      received.push(data);
      if (received.length === count) resolve(received);
    };
    socket.onclose = ({ code }) => reject(new Error(`Closed with ${code}`));
  });
}

/** Sends one message if there is one, and waits for the end. */
async function toTheEnd(path, text) {
  const socket = await opened(path);
  const end = ended(socket);
  if (text !== undefined) socket.send(text);
  return await end;
}

Object.assign(globalThis, { exchange, toTheEnd });
