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

/** How often the server's figures are read, and how long they are kept for the plots, in milliseconds. */
const FIGURES_INTERVAL = 1000;
const PLOTTED = 180_000;

/** The size of a plot, in units of its drawing. */
const [PLOT_WIDTH, PLOT_HEIGHT] = [300, 100];

/** Close codes after which another attempt would end alike: a normal end, and what breaks the server's rules. */
const FINAL_CODES = [1000, 1002, 1003, 1007, 1008, 1010];

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(document.body.dataset.settings);
const { path, hasRooms, asksToken, maxMessageSize, figuresUrl, isCounting, sentences } = settings;
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
const percent = new Intl.NumberFormat(sentences.lang, { style: "percent" });

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

/** Says in a form what is wrong with it, and leads to the field that is; with an empty text, nothing is. */
function complain(form, text, field) {
  byId(`${form}-problem`).textContent = text;
  for (const marked of byId(form).querySelectorAll("[aria-invalid]")) {
    marked.removeAttribute("aria-invalid");
  }
  if (field === undefined) return;
  byId(field).setAttribute("aria-invalid", "true");
  byId(field).focus();
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
  if (hasRooms && !isRoom(room)) {
    return complain("connection", sentences.badRoom, "room");
  }
  const token = byId("token").value;
  if (token !== "" && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token)) {
    return complain("connection", sentences.badToken, "token");
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
  if (isUp) show("busy", sentences.closing);
  else show("idle", sentences.idle);
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
    note(sentences.open, "open");
    show("open", sentences.open);
  });
  current.onmessage = heard(({ data }) => log("received", data));
  current.onclose = heard((event) => {
    if (openedAt !== undefined && performance.now() - openedAt > STABLE) attempts = 0;
    ended(event, current);
  });
  show("busy", sentences.connecting);
}

async function ended({ code, reason }, current) {
  const closed = fill(sentences.closed, { code, meaning: meaningOf(code) });
  const state = code === 1000 || !isWanted ? "idle" : "failed";
  note(reason === "" ? closed : `${closed}; ${fill(sentences.reason, { reason })}`, state);
  const isFinal = FINAL_CODES.includes(code);
  if (!isWanted || isFinal) {
    isWanted = false;
    return show(state, sentences.idle);
  }
  if (!wasOpen && await isRefused()) {
    if (current !== socket || !isWanted) return;
    isWanted = false;
    show("failed", sentences.idle);
    return complain("connection", sentences.refused, asksToken ? "token" : undefined);
  }
  if (current !== socket || !isWanted) return;
  const longest = Math.min(FIRST_WAIT * 2 ** attempts++, LONGEST_WAIT);
  const wait = longest * (1 + Math.random()) / 2;
  timer = setTimeout(connect, wait);
  const seconds = number.format(Math.round(wait / 100) / 10);
  show("busy", fill(sentences.waiting, { seconds, attempt: attempts }));
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

/** Shows the state of the connection: `idle`, `busy`, `open` or `failed`, and in words. */
function show(state, words) {
  byId("status").dataset.state = state;
  byId("status").textContent = words;
  const isOpen = socket?.readyState === WebSocket.OPEN;
  byId("connect").textContent = isWanted ? sentences.disconnect : sentences.connect;
  byId("connect").className = isWanted ? "quiet" : "";
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
  if (!/^([0-9a-f]{2})+$/i.test(digits)) {
    return complain("message", sentences.badHex, "hex");
  }
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16)).buffer;
}

async function contentOf(file) {
  if (file === undefined) return complain("message", sentences.badFile, "file");
  // A file that is too long need not be read.
  if (file.size > maxMessageSize) return file;
  return await file.arrayBuffer().catch(() => complain("message", sentences.badFile, "file"));
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

/** Notes what happened to the connection, and the state that leaves it in. */
function note(about, state) {
  add({ className: `note ${state}`, time: new Date(), about });
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

/** What the server has counted within the time that is plotted, the latest last. */
let samples = [];

/** Reads the server's figures and shows them, again and again. */
async function readFigures() {
  // While nobody sees them, they need not be read: the next ones tell of the time between.
  if (!document.hidden) {
    try {
      const response = await fetch(figuresUrl, {
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(5000),
      });
      if (!response.ok) throw new Error(`Cannot read figures: ${response.status}`);
      showFigures(await response.json());
      tellOfFigures("");
    } catch {
      tellOfFigures(fill(sentences.figuresProblem, { url: figuresUrl }));
    }
  }
  setTimeout(readFigures, FIGURES_INTERVAL);
}

/** Says why there are no figures; a screen reader reads it when it changes, and not each second. */
function tellOfFigures(text) {
  const problem = byId("figures-problem");
  if (problem.textContent !== text) problem.textContent = text;
}

function showFigures({ time, sockets, received, sent }) {
  const messages = received.messages + sent.messages;
  const messageBytes = received.messageBytes + sent.messageBytes;
  const wireBytes = received.wireBytes + sent.wireBytes;
  const saved = messageBytes - wireBytes;
  // A server that was started again counts from 0.
  const last = samples.at(-1);
  if (time <= last?.time || messages < last?.messages) samples = [];
  samples = samples.filter((sample) => sample.time > time - PLOTTED);
  samples.push({ time, messages, saved });
  // Of small messages that are not compressed, the headers of the frames come on top.
  const part = saved <= 0 ? "" : ` (${percent.format(saved / messageBytes)})`;
  const texts = {
    "open-sockets": number.format(sockets.open),
    "messages-received": number.format(received.messages),
    "messages-sent": number.format(sent.messages),
    "message-bytes": inUnits(messageBytes),
    "wire-bytes": inUnits(wireBytes),
    "saved-bytes": inUnits(saved) + part,
  };
  for (const [id, text] of Object.entries(texts)) byId(id).textContent = text;
  plot("message-rate", "messages", (rate) => number.format(Math.round(rate)));
  plot("saved-rate", "saved", inUnits);
  byId("counts").hidden = false;
}

/** A number of bytes in the unit that suits it. */
function inUnits(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const whole = Math.round(size);
  const exponent = Math.min(Math.floor(Math.log10(Math.abs(whole) || 1) / 3), units.length - 1);
  return new Intl.NumberFormat(sentences.lang, {
    style: "unit",
    unit: units[exponent],
    unitDisplay: exponent === 0 ? "long" : "short",
    maximumSignificantDigits: 3,
  }).format(whole / 1000 ** exponent);
}

/** Draws by how much a count has grown in each second, and says so in words. */
function plot(id, name, format) {
  const points = samples.slice(1).map((sample, i) => {
    const before = samples[i];
    const rate = (sample[name] - before[name]) * 1000 / (sample.time - before.time);
    return { time: sample.time, rate };
  });
  if (points.length === 0) return;
  const rates = points.map(({ rate }) => rate);
  const [now, most, least] = [rates.at(-1), Math.max(0, ...rates), Math.min(0, ...rates)];
  const range = most - least || 1;
  const x = (time) => (PLOT_WIDTH * (1 - (points.at(-1).time - time) / PLOTTED)).toFixed(1);
  const y = (rate) => (PLOT_HEIGHT * (1 - (rate - least) / range)).toFixed(1);
  const line = points.map(({ time, rate }) => `${x(time)} ${y(rate)}`).join(" L ");
  const area = `${x(points[0].time)} ${y(0)} L ${line} L ${PLOT_WIDTH} ${y(0)} Z`;
  const figure = byId(id);
  figure.querySelector(".zero").setAttribute("d", `M 0 ${y(0)} H ${PLOT_WIDTH}`);
  figure.querySelector(".line").setAttribute("d", `M ${line}`);
  figure.querySelector(".area").setAttribute("d", `M ${area}`);
  const [nowText, mostText] = [format(now), format(most)];
  figure.querySelector("strong").textContent = nowText;
  figure.querySelector(".most").textContent = fill(sentences.plotMost, { most: mostText });
  figure.querySelector("svg").ariaLabel = fill(sentences.plotText, {
    what: figure.querySelector("span").textContent,
    now: nowText,
    most: mostText,
  });
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
show("idle", sentences.idle);
byId("figures").hidden = figuresUrl === undefined && isCounting;
if (!isCounting) tellOfFigures(sentences.figuresOff);
if (figuresUrl !== undefined) readFigures();
// The address of a room is one to share: it leads right into it.
if (hasRooms && roomInAddress() !== "" && !asksToken) start();
