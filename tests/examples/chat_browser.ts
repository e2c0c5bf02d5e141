/**
 * Two people in `examples/chat/`, in Debian's Chromium: `chat_browser.ts <url> <url> <folder> <authority>`, where each
 * comes from, the folder for all that Chromium writes, and the file of the authority that it trusts. Prints what the
 * pages show as lines of JSON.
 *
 * It is a program of its own because puppeteer asks the system more than tests are allowed to.
 *
 * @module
 */

import type { Page } from "puppeteer-core";
import { launchBrowser } from "../interop/chromium/launch.ts";

const [firstUrl, secondUrl, folder, authority] = Deno.args;
const browser = await launchBrowser("chromium", { folder: folder!, authority: authority! });
try {
  const problems: string[] = [];
  const find = (page: Page, name: string, role: string) =>
    page.locator(`::-p-aria([name="${name}"][role="${role}"])`);
  /** Waits until the page has a text. */
  const has = async (page: Page, text: string | RegExp) => {
    await page.bringToFront();
    const pattern = typeof text === "string" ? RegExp.escape(text) : text.source;
    await page.waitForFunction(`new RegExp(${JSON.stringify(pattern)}, "m")
      .test(document.body.innerText)`);
  };
  const enter = async (url: string, name: string) => {
    const page = await browser.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("dialog", (dialog) => {
      problems.push(dialog.message());
      void dialog.dismiss();
    });
    await page.goto(url);
    await find(page, "Name", "textbox").fill(name);
    await find(page, "Join", "button").click();
    await has(page, "Connected");
    return page;
  };
  const say = async (page: Page, text: string) => {
    await page.bringToFront();
    const message = await find(page, "Message", "textbox").waitHandle();
    await message.type(text);
    await message.press("Enter");
  };
  const shown = (page: Page) =>
    page.$$eval("li", (all) => all.map(({ textContent }) => textContent));
  const ada = await enter(firstUrl!, "Ada");
  const bob = await enter(secondUrl!, "<b>Bob</b>");
  for (const page of [ada, bob]) await has(page, "Here: <b>Bob</b>, Ada");
  await say(ada, "Hello");
  await has(bob, "Ada: Hello");
  await say(bob, "<img src=x onerror=alert(1)>");
  await has(ada, "Bob</b>: <img");
  console.log(JSON.stringify(await shown(ada)));

  // The test ends the server that Bob's page is connected to.
  await has(bob, "Reconnecting");
  await say(ada, "Where are you?");
  await has(bob, "Connected");
  await has(bob, "Where are you?");
  await say(bob, "Back");
  await has(ada, "Bob</b>: Back");
  // What the server that has ended told is forgotten.
  await has(ada, /^Here: <b>Bob<\/b>, Ada$/);
  for (const page of [ada, bob]) console.log(JSON.stringify(await shown(page)));
  console.log(JSON.stringify({ problems }));
} finally {
  await browser.close();
}
