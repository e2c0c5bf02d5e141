/**
 * Makes the pictures of the page that README.md shows, `docs/images/page-broadcast.png` and
 * `docs/images/page-metrics.png`, with Debian's Chromium and pngquant. It takes some four minutes, as the plots show
 * three. In the clone's folder:
 *
 * ```sh
 * deno run -A --config=tests/interop/chromium/deno.json tests/interop/chromium/screenshots.ts
 * ```
 *
 * @module
 */

import type { Browser, Page } from "puppeteer-core";
import { launchBrowser } from "./launch.ts";

const PROJECT = decodeURIComponent(new URL("../../../", import.meta.url).pathname);
const AUTHORITY = `${PROJECT}certs/ca.crt`;

/** For how long there is something to plot, in milliseconds. */
const PLOTTED = 185_000;

/** A server of this project, on the port that the README has, until it is disposed. */
async function startServer(flags: string[]) {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["task", "serve", "--host=127.0.0.1", "--port=8443", "--lang=en", ...flags],
    cwd: PROJECT,
    stdout: "piped",
  }).spawn();
  const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { done } = await lines.read();
  if (done) throw new Error("Cannot start the server");
  const rest = (async () => {
    while (!(await lines.read()).done);
  })();
  return {
    url: "https://localhost:8443/",
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await Promise.all([server.status, rest]);
    },
  };
}

/** Opens the page of somebody, connected. */
async function visit(browser: Browser, url: string, height: number): Promise<Page> {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width: 960, height, deviceScaleFactor: 2 });
  await page.goto(url);
  const isOpen = () =>
    page.waitForFunction(`document.getElementById("status").dataset.state === "open"`);
  if (new URL(url).hash === "") await page.click("#connect");
  await isOpen();
  return page;
}

/** Says something, and waits until another has it. */
async function say(page: Page, text: string, other: Page): Promise<void> {
  await page.bringToFront();
  await page.type("#text", text);
  await page.keyboard.press("Enter");
  await other.bringToFront();
  await other.waitForFunction(
    `document.querySelector("#messages li:last-child pre")?.textContent === ${
      JSON.stringify(text)
    }`,
  );
}

async function picture(page: Page, name: string): Promise<void> {
  await page.bringToFront();
  await page.evaluate("document.activeElement.blur()");
  const path = `${PROJECT}docs/images/${name}.png`;
  await page.screenshot({ path, fullPage: true });
  const args = ["--force", "--output", path, path];
  const { success } = await new Deno.Command("pngquant", { args }).output();
  if (!success) throw new Error(`Cannot make ${path} smaller`);
  console.log(`${path}: ${(await Deno.stat(path)).size} bytes`);
}

/** A browser, with a folder of its own. */
async function withBrowser(isDark: boolean, act: (browser: Browser) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  const browser = await launchBrowser("chromium", { folder, authority: AUTHORITY, isDark });
  try {
    await act(browser);
  } finally {
    await browser.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function broadcast(): Promise<void> {
  await using server = await startServer(["--mode=broadcast"]);
  await withBrowser(false, async (browser) => {
    const ada = await visit(browser, `${server.url}#kitchen`, 700);
    const bob = await visit(browser, `${server.url}#kitchen`, 700);
    await say(bob, "Is the oven free at six?", ada);
    await say(ada, "From half past six on. What are you making?", bob);
    await say(bob, `{"dish":"feijoada","people":8,"hours":3}`, ada);
    await bob.select("#kind", "hex");
    await bob.type("#hex", "f0 9f 8d b2");
    await bob.keyboard.press("Enter");
    await ada.bringToFront();
    await ada.waitForSelector("#messages .binary");
    await ada.type("#text", "Then I am in.");
    await ada.keyboard.press("Enter");
    await ada.waitForFunction(`document.querySelectorAll("#messages pre").length === 5`);
    await picture(ada, "page-broadcast");
  });
}

async function metrics(): Promise<void> {
  await using server = await startServer(["--mode=echo", "--metrics=0"]);
  await withBrowser(true, async (browser) => {
    const others = await visit(browser, server.url, 700);
    const page = await visit(browser, server.url, 700);
    await say(page, `{"event":"hello","from":"the page"}`, page);
    // Others send events, now more and now fewer.
    await others.evaluate(`{
      const begin = performance.now();
      const socket = new WebSocket(new URL("/ws", location.href.replace("http", "ws")));
      setInterval(() => {
        const seconds = (performance.now() - begin) / 1000;
        const count = 12 + 8 * Math.sin(seconds / 14) + 5 * Math.sin(seconds / 3);
        for (let i = 0; i < count + Math.random() * 3; i++) {
          const price = (100 + 10 * Math.random()).toFixed(2);
          socket.send(JSON.stringify({
            event: "price", market: "XBSP", symbol: "PETR4", price, currency: "BRL", size: 100 * i,
          }));
        }
      }, 200);
    }`);
    // The page reads the figures only while it is seen.
    await page.bringToFront();
    await new Promise((resolve) => setTimeout(resolve, PLOTTED));
    await picture(page, "page-metrics");
  });
}

await Deno.mkdir(`${PROJECT}docs/images`, { recursive: true });
await broadcast();
await metrics();
