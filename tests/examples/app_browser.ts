/**
 * Uses `examples/app.ts` as a person does, in Debian's Chromium, and prints what the page shows as lines of
 * JSON: `app_browser.ts <url> <password> <folder>`, the folder for all that Chromium writes and for a picture of
 * the page.
 *
 * It is a program of its own because playwright asks the system more than tests are allowed to.
 *
 * @module
 */

import { launch } from "../interop/chromium/launch.ts";

const [url, password, folder] = Deno.args;
const browser = await launch(folder!);
try {
  // The development authority is not one of Chromium's.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) problems.push(message.text());
  });
  await page.goto(url!);

  const status = page.getByRole("status");
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await status.filter({ hasText: /./ }).waitFor();
  console.log(JSON.stringify({ refused: (await status.textContent())!.trim() }));

  await page.getByLabel("Password").fill(password!);
  const opened = page.waitForEvent("websocket");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("Logged in as ada").waitFor();
  console.log(JSON.stringify({ socket: new URL((await opened).url()).pathname }));

  // Slow enough to be seen, with its progress.
  const network = await context.newCDPSession(page);
  await network.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 20_000_000,
  });
  await page.evaluate(`{
    const progress = document.querySelector("progress");
    const seen = globalThis.seen = [];
    const options = { attributeFilter: ["value"] };
    new MutationObserver(() => seen.push(progress.position)).observe(progress, options);
  }`);
  const path = `${folder}/upload`;
  await Deno.writeFile(path, new Uint8Array(20_000_000));
  await page.getByLabel("File").setInputFiles(path);
  await page.getByRole("button", { name: "Upload" }).click();
  await status.filter({ hasText: "Uploaded" }).waitFor();
  console.log(JSON.stringify({ progress: await page.evaluate("seen") }));

  const item = page.getByRole("listitem");
  await item.waitFor();
  console.log(JSON.stringify({ live: await item.allTextContents() }));
  await page.screenshot({ path: `${folder}/page.png` });

  // Of two pages, the one that is not clicked in is logged out too.
  const second = await context.newPage();
  await second.goto(url!);
  await second.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  console.log(JSON.stringify({ problems }));
} finally {
  await browser.close();
}
