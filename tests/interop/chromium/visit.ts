/**
 * The server's page as people use it, in one of Debian's browsers: `visit.ts <browser> <scene> <url> <folder>
 * <authority>`, the folder for all that the browser writes, and the file of the authority that it trusts. Prints what
 * the page shows as lines of JSON.
 *
 * It is a program of its own because puppeteer asks the system more than tests are allowed to.
 *
 * @module
 */

import type { Page } from "puppeteer-core";
import { type BrowserName, launchBrowser } from "./launch.ts";

const HOSTILE = "<img src=x onerror=alert(1)>\u202e";

/** Longest wait for something to be seen, in milliseconds: a machine may be busy. */
const PATIENCE = 30_000;

/** What the browsers themselves say of servers that refuse, or have ended. */
const UNREACHABLE = new RegExp([
  "^WebSocket connection to",
  "^Failed to load resource",
  "^Error: Firefox can’t establish a connection",
  "^Error: The connection to wss:.* was interrupted",
  "CORS request did not succeed",
].join("|"));

const [name, scene, url, folder, authority] = Deno.args;
const browser = await launchBrowser(name as BrowserName, {
  folder: folder!,
  authority: authority!,
  isDark: scene === "chat",
});
const problems: string[] = [];

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}

/** Opens the page in a browser of somebody else. */
async function visit(hash = ""): Promise<Page> {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => {
    if (!UNREACHABLE.test(String(error))) problems.push(String(error));
  });
  page.on("dialog", (dialog) => {
    problems.push(dialog.message());
    void dialog.dismiss();
  });
  page.on("console", (message) => {
    if (!UNREACHABLE.test(message.text())) problems.push(message.text());
  });
  await page.setViewport({ width: 1200, height: 800 });
  await page.goto(`${url}${hash}`);
  return page;
}

/** What a screen reader finds by its name and role. */
function find(page: Page, name: string, role: string) {
  return page.locator(`::-p-aria([name="${name}"][role="${role}"])`);
}

/** Waits until an element has a text in which `pattern` is found. */
async function has(page: Page, selector: string, pattern: RegExp): Promise<void> {
  // What is in the background is drawn seldom.
  await page.bringToFront();
  await page.waitForFunction(
    `${pattern}.test(document.querySelector(${JSON.stringify(selector)})?.textContent)`,
  );
}

async function status(page: Page, pattern: RegExp): Promise<void> {
  await has(page, "#status", pattern);
}

/** Waits until the list ends with a message in which `pattern` is found. */
async function lastHas(page: Page, pattern: RegExp): Promise<void> {
  await has(page, "#messages li:last-child", pattern);
}

/** What the list of messages shows, without the times. */
async function shown(page: Page): Promise<string[][]> {
  const lines = await page.evaluate(
    `Array.from(document.querySelectorAll("#messages li"), ({ children }) =>
      Array.from(children, ({ textContent }) => textContent))`,
  );
  return (lines as string[][]).map(([about, ...content]) => [
    about!.replace(/^\d\d:\d\d:\d\d[.,]\d{3} /, ""),
    ...content,
  ]);
}

async function say(page: Page, text: string): Promise<void> {
  // The text of a field is set at once where it is long.
  await find(page, "Text", "textbox").fill(text, { typingThreshold: 0 });
  await page.focus("#text");
  await page.keyboard.press("Enter");
}

/** Types into the field that has the focus. */
async function type(page: Page, text: string): Promise<void> {
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** The elements that the Tab key leads to, one after the other. */
async function tabs(page: Page, count: number): Promise<unknown[]> {
  const ids = [];
  for (let i = 0; i < count; i++) {
    await page.keyboard.press("Tab");
    ids.push(await page.evaluate("document.activeElement.id"));
  }
  return ids;
}

async function chooseFile(page: Page, size: number): Promise<void> {
  const path = `${folder}/file-${size}`;
  await Deno.writeFile(path, new Uint8Array(size).fill(7));
  const field = await page.waitForSelector("input#file");
  await field!.uploadFile(path);
}

/** An echo with the token `s3cret`. */
async function client(): Promise<void> {
  const page = await visit();
  print(await tabs(page, 2));
  await page.focus("#token");
  await type(page, "not a token");
  await has(page, "#connection-problem", /^The token will not do/);
  await page.evaluate(`document.activeElement.select()`);
  await type(page, "wrong");
  await has(page, "#connection-problem", /^The server refuses the connection/);
  await status(page, /^Not connected$/);
  print(await page.evaluate(`[document.activeElement.id, document.activeElement.ariaInvalid]`));
  await page.evaluate(`document.activeElement.select()`);
  await type(page, "s3cret");
  await status(page, /^Connected$/);
  print(await page.$$eval("#connection dd", (all) => all.map(({ textContent }) => textContent)));
  print(await tabs(page, 6));
  await find(page, "Clear", "button").click();

  await say(page, HOSTILE);
  await lastHas(page, /Received/);
  const send = find(page, "Send", "button");
  await find(page, "Type", "combobox").fill("hex");
  const hex = find(page, "Binary, in hexadecimal", "textbox");
  await hex.fill("00 f");
  await send.click();
  await has(page, "#message-problem", /^The binary will not do/);
  await hex.fill("00 ff 10");
  await page.focus("#hex");
  await page.keyboard.press("Enter");
  await lastHas(page, /Received · binary/);
  await find(page, "Type", "combobox").fill("file");
  await chooseFile(page, 600);
  await send.click();
  await lastHas(page, /Received · binary · 600 bytes/);
  await chooseFile(page, 5001);
  await send.click();
  await has(page, "#message-problem", /5,001 bytes, more than the 5,000/);
  await find(page, "Disconnect", "button").click();
  await status(page, /^Not connected$/);
  await lastHas(page, /closed/);
  print(await shown(page));
  print(await page.evaluate(`[document.cookie, localStorage.length, sessionStorage.length]`));

  // A flood is counted, and its end shown.
  await find(page, "Connect", "button").click();
  await status(page, /^Connected$/);
  await find(page, "Type", "combobox").fill("text");
  await page.evaluate(`for (let i = 0; i < 600; i++) {
    document.getElementById("text").value = "x";
    document.getElementById("message").requestSubmit();
  }`);
  await has(page, "#shown", /^1,206 in all; the latest 500 are shown$/);
  await say(page, "y".repeat(4500));
  await has(page, "#shown", /^1,208 in all/);
  const all = await shown(page);
  print([all.length, all.at(-1)![0], all.at(-1)![1]!.length]);
}

/** Whether the page fits into a window of the given width, and the colour of its ground. */
async function layout(page: Page, width: number): Promise<unknown> {
  await page.setViewport({ width, height: 640 });
  return await page.evaluate(`[
    innerWidth === ${width} && document.documentElement.scrollWidth <= innerWidth,
    getComputedStyle(document.body).backgroundColor,
  ]`);
}

/** Rooms. */
async function chat(): Promise<void> {
  const ada = await visit("#sala%20%C3%A7");
  const bob = await visit("#sala%20%C3%A7");
  const elsewhere = await visit("#other");
  const pages = [ada, bob, elsewhere];
  for (const page of pages) await status(page, /^Connected$/);
  await say(ada, HOSTILE);
  await lastHas(bob, /<img/);
  await say(bob, `${"long".repeat(2000)}\n${"\u0300".repeat(100)}`);
  await lastHas(ada, /long/);
  print((await shown(bob)).map((texts) => texts.map((text) => text.slice(0, 60))));
  print(await shown(elsewhere));
  print([await layout(ada, 320), await layout(bob, 1920)]);

  // The test ends the server, and starts another.
  for (const page of pages) await status(page, /^Another attempt in [\d.]+ s \(attempt \d+\)$/);
  print((await shown(elsewhere)).slice(0, 2));
  for (const page of pages) await status(page, /^Connected$/);
  await elsewhere.evaluate(`location.hash = "#sala ç"`);
  await has(elsewhere, "#address", /\/ws\/sala%20%C3%A7$/);
  await status(elsewhere, /^Connected$/);
  await say(ada, "Back");
  for (const page of [bob, elsewhere]) await lastHas(page, /Back/);
  await ada.evaluate(`location.hash = "#${"x".repeat(81)}"`);
  await has(ada, "#connection-problem", /^The name of the room will not do/);
  await status(ada, /^Not connected$/);
}

/** An echo with `--metrics`. */
async function figures(): Promise<void> {
  const page = await visit();
  await has(page, "#messages-received", /^0$/);
  await find(page, "Connect", "button").click();
  await status(page, /^Connected$/);
  for (let i = 0; i < 5; i++) await say(page, "text ".repeat(200));
  await has(page, "#messages-sent", /^5$/);
  await has(page, "#saved-rate .most", /^most: [1-9]/);
  print(
    await page.$$eval("#counts dd", (all) => all.map(({ textContent }) => textContent)),
  );
  const plots = await page.$$(`::-p-aria([role="image"])`);
  print(await Promise.all(plots.map((plot) => plot.evaluate(({ ariaLabel }) => ariaLabel))));
  print(await layout(page, 320));

  // The test ends the server.
  await has(page, "#figures-problem", /^There are no figures of the server: http:/);
}

/** What stands where the figures would be. */
async function noFigures(): Promise<void> {
  const page = await visit();
  print(
    await page.$$eval(
      "#figures, #figures > *",
      (all) =>
        all.filter((element) => element.checkVisibility()).map(({ id, textContent }) =>
          id === "figures" ? "figures" : textContent
        ),
    ),
  );
}

/** A server that sends what no good one does, and closes. */
async function hostile(): Promise<void> {
  const page = await visit();
  await find(page, "Connect", "button").click();
  await lastHas(page, /closed: 1008/);
  await status(page, /^Not connected$/);
  const all = await shown(page);
  print([all.length, await page.$eval("#shown", ({ textContent }) => textContent)]);
  print(all.slice(-4).map((texts) => texts.map((text) => text.slice(0, 60))));
  print(
    await page.evaluate(`[
    document.querySelectorAll("#messages :not(li, p, time, pre)").length,
    document.documentElement.scrollWidth <= innerWidth,
  ]`),
  );
}

const scenes: Record<string, () => Promise<void>> = { client, chat, figures, noFigures, hostile };
try {
  await scenes[scene!]!();
  print({ problems });
} finally {
  await browser.close();
}
