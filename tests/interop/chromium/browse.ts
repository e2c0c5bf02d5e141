/**
 * Opens a page in Debian's Chromium, evaluates expressions in it, and prints what each gives as a
 * line of JSON: `browse.ts <url> <folder> <expression>...`, the folder for all that Chromium writes.
 *
 * It is a program of its own because playwright asks the system more than tests are allowed to.
 *
 * @module
 */

import { launch } from "./launch.ts";

const [url, folder, ...expressions] = Deno.args;
const browser = await launch(folder!);
try {
  // The development authority is not one of Chromium's.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(url!);
  for (const expression of expressions) {
    console.log(JSON.stringify(await page.evaluate(expression)));
  }
} finally {
  await browser.close();
}
