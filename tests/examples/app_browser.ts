/**
 * Uses `examples/app.ts` as a person does, in Debian's Chromium, and prints what the page shows as lines of
 * JSON: `app_browser.ts <url> <password> <folder> <authority>`, the folder for all that Chromium writes and for a
 * picture of the page, and the file of the authority that it trusts.
 *
 * It is a program of its own because puppeteer asks the system more than tests are allowed to.
 *
 * @module
 */

import { launchBrowser } from "../interop/chromium/launch.ts";

const [url, password, folder, authority] = Deno.args;
const browser = await launchBrowser("chromium", { folder: folder!, authority: authority! });
try {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) problems.push(message.text());
  });
  await page.goto(url!);

  /** The text of what first matches, once it has any. */
  const textOf = async (selector: string) => {
    const shown = await page.waitForFunction(
      `Array.from(document.querySelectorAll(${JSON.stringify(selector)}))
        .map(({ textContent }) => textContent.trim()).find(Boolean)`,
    );
    return await shown.jsonValue();
  };
  const find = (name: string, role: string) =>
    page.locator(`::-p-aria([name="${name}"][role="${role}"])`);
  await find("Name", "textbox").fill("ada");
  await page.locator("::-p-aria(Password)").fill("wrong");
  await find("Log in", "button").click();
  console.log(JSON.stringify({ refused: await textOf("[role=status]") }));

  const network = await page.createCDPSession();
  await network.send("Network.enable");
  const opened = new Promise<string>((resolve) =>
    network.once("Network.webSocketCreated", ({ url }) => resolve(url))
  );
  await page.locator("::-p-aria(Password)").fill(password!);
  await find("Log in", "button").click();
  await page.locator("::-p-text(Logged in as ada)").wait();
  console.log(JSON.stringify({ socket: new URL(await opened).pathname }));

  // Slow enough to be seen, with its progress.
  await page.emulateNetworkConditions({ latency: 0, download: -1, upload: 20_000_000 });
  await page.evaluate(`{
    const progress = document.querySelector("progress");
    const seen = globalThis.seen = [];
    const options = { attributeFilter: ["value"] };
    new MutationObserver(() => seen.push(progress.position)).observe(progress, options);
  }`);
  const path = `${folder}/upload`;
  await Deno.writeFile(path, new Uint8Array(20_000_000));
  const file = await page.waitForSelector("input[type=file]");
  await file!.uploadFile(path);
  await find("Upload", "button").click();
  await page.locator("::-p-text(Uploaded)").wait();
  console.log(JSON.stringify({ progress: await page.evaluate("seen") }));

  await page.waitForSelector("li");
  const items = await page.$$eval("li", (all) => all.map(({ textContent }) => textContent));
  console.log(JSON.stringify({ live: items }));
  await page.screenshot({ path: `${folder}/page.png` });

  // Of two pages, the one that is not clicked in is logged out too.
  const second = await browser.newPage();
  await second.goto(url!);
  await second.locator(`::-p-aria([name="Log out"][role="button"])`).click();
  await page.bringToFront();
  await page.locator("::-p-aria(Password)").wait();
  console.log(JSON.stringify({ problems }));
} finally {
  await browser.close();
}
