/**
 * The page's script: a WebSocket to the server that the page comes from, and what goes over it. Whatever comes is
 * shown as text, and only so much of it as is named below.
 *
 * @module
 */

/** Most messages shown, the latest ones. */
const MAX_SHOWN = 500;

/** Longest part of a text that is shown, in UTF-16 code units. */
const MAX_TEXT = 4000;

/** Longest part of a binary message that is shown, in bytes. */
const MAX_BYTES = 512;

/** The first and the longest wait before another attempt, in milliseconds: those of `client.ts`. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;

/** A connection that lasted so long, in milliseconds, begins the waits anew. */
const STABLE = 10_000;

/** Longest name of a room, in bytes. */
const MAX_ROOM = 80;

/** Close codes after which another attempt would end alike: a normal end, and what breaks the server's rules. */
const FINAL_CODES = [1000, 1002, 1003, 1007, 1008, 1010];

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(document.body.dataset.settings);
const { path, hasRooms, asksToken, maxMessageSize, sentences } = settings;
const clock = new Intl.DateTimeFormat(sentences.lang, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});
const bytes = new Intl.NumberFormat(sentences.lang, {
  style: "unit",
  unit: "byte",
  unitDisplay: "long",
});
const number = new Intl.NumberFormat(sentences.lang);

/** Whether the user wants a connection: one that ends is then made anew. */
let isWanted = false;
/** The latest socket; what older ones tell is not heard. */
let socket;
/** The timer of the next attempt. */
let timer;
/** Attempts since the last connection that lasted. */
let attempts = 0;
/** Whether a connection has been open since the user asked for one. */
let wasOpen = false;

/** What is to be shown with the next frame; a flood costs no more than what is seen of it. */
let pending = [];
let count = 0;

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}

/** Says in the form what is wrong with it; nothing with an empty text. */
function complain(form, text) {
  byId(`${form}-problem`).textContent = text;
}

/** The name of the room in the page's own address. */
function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function isRoom(name) {
  return name !== "." && name !== ".." && new TextEncoder().encode(name).length <= MAX_ROOM;
}

function socketUrl() {
  const url = new URL(path, location.href.replace(/^http/, "ws"));
  url.hash = "";
  const room = hasRooms ? byId("room").value : "";
  if (room !== "") url.pathname = `${path.replace(/\/$/, "")}/${encodeURIComponent(room)}`;
  return url.href;
}

/** Begins to connect, as the user wants it. */
function start() {
  complain("connection", "");
  const room = byId("room").value;
  if (hasRooms && !isRoom(room)) return complain("connection", sentences.badRoom);
  const token = byId("token").value;
  if (token !== "" && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token)) {
    return complain("connection", sentences.badToken);
  }
  if (hasRooms) history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  isWanted = true;
  wasOpen = false;
  attempts = 0;
  connect();
}

/** Ends the connection, or the attempts to get one. */
function stop() {
  isWanted = false;
  clearTimeout(timer);
  const isUp = socket !== undefined && socket.readyState < WebSocket.CLOSING;
  if (isUp) socket.close(1000);
  show(isUp ? sentences.closing : sentences.idle);
}

function connect() {
  clearTimeout(timer);
  const token = byId("token").value;
  const current = new WebSocket(socketUrl(), asksToken && token !== "" ? [`bearer.${token}`] : []);
  current.binaryType = "arraybuffer";
  socket?.close(1000);
  socket = current;
  let openedAt;
  const heard = (act) => (event) => {
    if (current === socket) act(event);
  };
  current.onopen = heard(() => {
    openedAt = performance.now();
    wasOpen = true;
    note(sentences.open);
    show(sentences.open);
  });
  current.onmessage = heard(({ data }) => log("received", data));
  current.onclose = heard((event) => {
    if (openedAt !== undefined && performance.now() - openedAt > STABLE) attempts = 0;
    ended(event, current);
  });
  show(sentences.connecting);
}

async function ended({ code, reason }, current) {
  const closed = fill(sentences.closed, { code, meaning: meaningOf(code) });
  note(reason === "" ? closed : `${closed}; ${fill(sentences.reason, { reason })}`);
  const isFinal = FINAL_CODES.includes(code);
  if (!isWanted || isFinal) {
    isWanted = false;
    return show(sentences.idle);
  }
  if (!wasOpen && await isRefused()) {
    if (current !== socket || !isWanted) return;
    isWanted = false;
    return show(sentences.refused);
  }
  if (current !== socket || !isWanted) return;
  const longest = Math.min(FIRST_WAIT * 2 ** attempts++, LONGEST_WAIT);
  const wait = longest * (1 + Math.random()) / 2;
  timer = setTimeout(connect, wait);
  const seconds = number.format(Math.round(wait / 100) / 10);
  show(fill(sentences.waiting, { seconds, attempt: attempts }));
}

/** Whether the server is there for requests: a browser does not tell why a WebSocket was not opened. */
async function isRefused() {
  try {
    const response = await fetch("/healthz", {
      cache: "no-store",
      signal: AbortSignal.timeout(5000),
    });
    return response.ok;
  } catch {
    return false;
  }
}

function meaningOf(code) {
  const { codes } = sentences;
  if (code >= 4000) return codes.private;
  if (code >= 3000) return codes.registered;
  return codes[code] ?? codes.unknown;
}

/** Shows the state of the connection. */
function show(status) {
  byId("status").textContent = status;
  const isOpen = socket?.readyState === WebSocket.OPEN;
  byId("connect").textContent = isWanted ? sentences.disconnect : sentences.connect;
  byId("room").readOnly = byId("token").readOnly = isWanted;
  byId("send").disabled = !isOpen;
  byId("address").textContent = socketUrl();
  // The subprotocol may be the one with the token.
  const subprotocol = socket?.protocol.replace(/^bearer\..*/, "bearer.***");
  byId("subprotocol").textContent = isOpen ? subprotocol || sentences.none : "–";
  byId("extensions").textContent = isOpen ? socket.extensions || sentences.none : "–";
}

/** Sends what the form has. */
async function send() {
  complain("message", "");
  const current = socket;
  if (current?.readyState !== WebSocket.OPEN) return complain("message", sentences.idle);
  const kind = byId("kind").value;
  const data = kind === "text"
    ? byId("text").value
    : kind === "hex"
    ? bytesOf(byId("hex").value)
    : await contentOf(byId("file").files[0]);
  if (data === undefined || data === "" || current.readyState !== WebSocket.OPEN) return;
  const size = sizeOf(data);
  if (size > maxMessageSize) {
    const [given, max] = [size, maxMessageSize].map((size) => number.format(size));
    return complain("message", fill(sentences.tooLong, { size: given, max }));
  }
  if (current.bufferedAmount > maxMessageSize) return complain("message", sentences.busy);
  current.send(data);
  log("sent", data);
  if (kind === "text") byId("text").value = "";
}

/** The bytes that hexadecimal digits stand for. */
function bytesOf(text) {
  const digits = text.replaceAll(/\s/g, "");
  if (!/^([0-9a-f]{2})+$/i.test(digits)) return complain("message", sentences.badHex);
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16)).buffer;
}

async function contentOf(file) {
  if (file === undefined) return complain("message", sentences.badFile);
  // A file that is too long need not be read.
  if (file.size > maxMessageSize) return file;
  return await file.arrayBuffer().catch(() => complain("message", sentences.badFile));
}

function sizeOf(data) {
  if (typeof data === "string") return new TextEncoder().encode(data).length;
  return data.byteLength ?? data.size;
}

/** Notes a message, for the next frame. */
function log(direction, data) {
  const isText = typeof data === "string";
  const size = sizeOf(data);
  const shown = isText ? beginOf(data) : hexOf(data);
  const isCut = isText ? shown.length < data.length : size > MAX_BYTES;
  const about = [
    sentences[direction],
    isText ? sentences.kindText : sentences.kindBinary,
    bytes.format(size),
    ...(isCut ? [sentences.cut] : []),
  ].join(" · ");
  count++;
  add({ className: direction, time: new Date(), about, shown, isText });
}

/** The beginning of a text, without half a character at its end. */
function beginOf(text) {
  return text.length <= MAX_TEXT ? text : text.slice(0, MAX_TEXT).replace(/[\ud800-\udbff]$/, "");
}

function hexOf(buffer) {
  const begin = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, MAX_BYTES));
  return Array.from(begin, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** Notes what happened to the connection. */
function note(about) {
  add({ className: "note", time: new Date(), about });
}

function add(entry) {
  pending.push(entry);
  if (pending.length > MAX_SHOWN) pending.shift();
  // More are there already, and so is the frame that shows them.
  if (pending.length === 1) requestAnimationFrame(showPending);
}

function showPending() {
  const [box, list] = [byId("log"), byId("messages")];
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const entries = pending.map(({ className, time, about, shown, isText }) => {
    const item = element("li", "", className);
    const line = element("p", "");
    const at = element("time", clock.format(time));
    at.dateTime = time.toISOString();
    line.append(at, ` ${about}`);
    item.append(line);
    if (shown !== undefined) {
      const content = element("pre", shown, isText ? "text" : "binary");
      content.dir = "auto";
      item.append(content);
    }
    return item;
  });
  pending = [];
  list.append(...entries);
  while (list.childElementCount > MAX_SHOWN) list.firstElementChild.remove();
  // A user who reads further up is not led away.
  if (isAtEnd) box.scrollTop = box.scrollHeight;
  showCount();
}

function showCount() {
  const sentence = count > MAX_SHOWN ? sentences.shown : sentences.count;
  const [all, max] = [count, MAX_SHOWN].map((value) => number.format(value));
  byId("shown").textContent = count === 0 ? "" : fill(sentence, { count: all, max });
}

byId("connection").onsubmit = (event) => {
  event.preventDefault();
  if (isWanted) stop();
  else start();
};

byId("message").onsubmit = (event) => {
  event.preventDefault();
  send();
};

byId("text").onkeydown = (event) => {
  // While a character is composed, Enter belongs to that.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
};

byId("kind").onchange = () => {
  complain("message", "");
  for (const field of document.querySelectorAll("[data-kind]")) {
    field.hidden = field.dataset.kind !== byId("kind").value;
  }
};

byId("clear").onclick = () => {
  byId("messages").replaceChildren();
  pending.length = count = 0;
  showCount();
};

byId("room").oninput = () => byId("address").textContent = socketUrl();

addEventListener("hashchange", () => {
  if (!hasRooms) return;
  stop();
  byId("room").value = roomInAddress();
  start();
});

byId("room-field").hidden = !hasRooms;
byId("token-field").hidden = !asksToken;
if (hasRooms) byId("room").value = roomInAddress();
show(sentences.idle);
// The address of a room is one to share: it leads right into it.
if (hasRooms && roomInAddress() !== "" && !asksToken) start();
