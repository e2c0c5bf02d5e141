/**
 * The server's page as people use it, in Debian's Chromium: `visit.ts client <url> <folder>` for one of an echo with
 * the token `s3cret`, `visit.ts chat <url> <folder>` for one of rooms, the folder for all that Chromium writes. Prints
 * what the page shows as lines of JSON.
 *
 * It is a program of its own because playwright asks the system more than tests are allowed to.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { BrowserContextOptions, Page } from "playwright-core";
import { launch } from "./launch.ts";

const HOSTILE = "<img src=x onerror=alert(1)>\u202e";

const [scene, url, folder] = Deno.args;
const browser = await launch(folder!);
const problems: string[] = [];

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}

/** Opens the page in a browser of somebody else. */
async function visit(hash = "", options: BrowserContextOptions = {}): Promise<Page> {
  // The development authority is not one of Chromium's.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("dialog", (dialog) => void problems.push(dialog.message()));
  page.on("console", (message) => {
    // Chromium tells of each connection that is not opened.
    if (!/^(WebSocket connection to|Failed to load resource)/.test(message.text())) {
      problems.push(message.text());
    }
  });
  await page.goto(`${url}${hash}`);
  return page;
}

function status(page: Page, text: string | RegExp): Promise<void> {
  return page.getByRole("status").filter({ hasText: text }).waitFor({ timeout: 20_000 });
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

/** Waits until the list ends with a message that has `text`. */
function lastHas(page: Page, text: string): Promise<void> {
  return page.locator("#messages li").last().filter({ hasText: text }).waitFor();
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Text", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

async function client(): Promise<void> {
  const page = await visit();
  const token = page.getByLabel("Access token");
  await token.fill("not a token");
  await token.press("Enter");
  await page.getByRole("alert").filter({ hasText: "The token will not do" }).waitFor();
  await token.fill("wrong");
  await token.press("Enter");
  await status(page, "The server refuses the connection");
  await token.fill("s3cret");
  await token.press("Enter");
  await status(page, "Connected");
  print(await page.locator("dd").allTextContents());
  await page.getByRole("button", { name: "Clear" }).click();

  await say(page, HOSTILE);
  await lastHas(page, "Received");
  const kind = page.getByLabel("Type");
  const send = page.getByRole("button", { name: "Send" });
  await kind.selectOption("hex");
  const hex = page.getByLabel("Binary, in hexadecimal");
  await hex.fill("00 f");
  await send.click();
  await page.getByRole("alert").filter({ hasText: "The binary will not do" }).waitFor();
  await hex.fill("00 ff 10");
  await hex.press("Enter");
  await lastHas(page, "Received · binary");
  await kind.selectOption("file");
  const file = page.getByLabel("Binary, from a file");
  const fileOf = (size: number) => ({
    name: "file",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(size, 7),
  });
  await file.setInputFiles(fileOf(600));
  await send.click();
  await lastHas(page, "Received · binary · 600 bytes");
  await file.setInputFiles(fileOf(5001));
  await send.click();
  await page.getByRole("alert").filter({ hasText: "5,001 bytes, more than the 5,000" }).waitFor();
  await page.getByRole("button", { name: "Disconnect" }).click();
  await status(page, "Not connected");
  await lastHas(page, "closed");
  print(await shown(page));
  print(await page.evaluate(`[document.cookie, localStorage.length, sessionStorage.length]`));

  // A flood is counted, and its end shown.
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await status(page, "Connected");
  await kind.selectOption("text");
  await page.evaluate(`for (let i = 0; i < 600; i++) {
    document.getElementById("text").value = "x";
    document.getElementById("message").requestSubmit();
  }`);
  await page.getByText("1,206 in all; the latest 500 are shown").waitFor();
  await say(page, "y".repeat(4500));
  await page.getByText("1,208 in all").waitFor();
  const all = await shown(page);
  print([all.length, all.at(-1)![0], all.at(-1)![1]!.length]);
}

async function chat(): Promise<void> {
  const narrow = await visit("#sala%20%C3%A7", { viewport: { width: 320, height: 640 } });
  const wide = await visit("#sala%20%C3%A7", { colorScheme: "dark" });
  const elsewhere = await visit("#other");
  const pages = [narrow, wide, elsewhere];
  for (const page of pages) await status(page, "Connected");
  await say(narrow, HOSTILE);
  await lastHas(wide, "<img");
  await say(wide, `${"long".repeat(2000)}\n${"\u0300".repeat(100)}`);
  await lastHas(narrow, "long");
  print((await shown(wide)).map((texts) => texts.map((text) => text.slice(0, 60))));
  print(await shown(elsewhere));
  const layout =
    "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]";
  print(await Promise.all([narrow, wide].map((page) => page.evaluate(layout))));

  // The test ends the server, and starts another.
  for (const page of pages) await status(page, /Another attempt in [\d.]+ s \(attempt \d\)/);
  print((await shown(elsewhere)).slice(0, 2));
  for (const page of pages) await status(page, "Connected");
  await elsewhere.evaluate(`location.hash = "#sala ç"`);
  await elsewhere.getByText("/ws/sala%20%C3%A7").waitFor();
  await status(elsewhere, "Connected");
  await say(narrow, "Back");
  for (const page of [wide, elsewhere]) await lastHas(page, "Back");
  await narrow.evaluate(`location.hash = "#${"x".repeat(81)}"`);
  await narrow.getByRole("alert").filter({ hasText: "room will not do" }).waitFor();
  await status(narrow, "Not connected");
}

try {
  await (scene === "chat" ? chat() : client());
  print({ problems });
} finally {
  await browser.close();
}
