/**
 * Opens a page in Debian's Chromium, evaluates expressions in it, and prints what each gives as a
 * line of JSON: `browse.ts <url> <folder> <authority> <expression>...`, the folder for all that Chromium
 * writes, and the file of the authority that it trusts.
 *
 * It is a program of its own because puppeteer asks the system more than tests are allowed to.
 *
 * @module
 */

import { launchBrowser } from "./launch.ts";

const [url, folder, authority, ...expressions] = Deno.args;
const browser = await launchBrowser("chromium", { folder: folder!, authority: authority! });
try {
  const page = await browser.newPage();
  await page.goto(url!);
  for (const expression of expressions) {
    console.log(JSON.stringify(await page.evaluate(expression)));
  }
} finally {
  await browser.close();
}
