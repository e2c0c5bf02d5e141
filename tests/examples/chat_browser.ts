/**
 * Two people in `examples/chat/`, in Debian's Chromium: `chat_browser.ts <url> <url> <folder>`, where each comes from,
 * and the folder for all that Chromium writes. Prints what the pages show as lines of JSON.
 *
 * It is a program of its own because playwright asks the system more than tests are allowed to.
 *
 * @module
 */

import { launch } from "../interop/chromium/launch.ts";

const [firstUrl, secondUrl, folder] = Deno.args;
const browser = await launch(folder!);
try {
  // The development authority is not one of Chromium's.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const problems: string[] = [];
  const enter = async (url: string, name: string) => {
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("dialog", (dialog) => void problems.push(dialog.message()));
    await page.goto(url);
    await page.getByLabel("Name").fill(name);
    await page.getByRole("button", { name: "Join" }).click();
    await page.getByText("Connected").waitFor();
    return page;
  };
  const say = async (page: Awaited<ReturnType<typeof enter>>, text: string) => {
    await page.getByLabel("Message").fill(text);
    await page.getByLabel("Message").press("Enter");
  };
  const ada = await enter(firstUrl!, "Ada");
  const bob = await enter(secondUrl!, "<b>Bob</b>");
  for (const page of [ada, bob]) await page.getByText("Here: <b>Bob</b>, Ada").waitFor();
  await say(ada, "Hello");
  await bob.getByText("Ada: Hello").waitFor();
  await say(bob, "<img src=x onerror=alert(1)>");
  await ada.getByText("Bob</b>: <img").waitFor();
  console.log(JSON.stringify(await ada.getByRole("listitem").allTextContents()));

  // The test ends the server that Bob's page is connected to.
  await bob.getByText("Reconnecting").waitFor();
  await say(ada, "Where are you?");
  await bob.getByText("Connected").waitFor({ timeout: 20_000 });
  await bob.getByText("Where are you?").waitFor();
  await say(bob, "Back");
  await ada.getByText("Bob</b>: Back").waitFor();
  // What the server that has ended told is forgotten.
  await ada.getByText(/^Here: <b>Bob<\/b>, Ada$/).waitFor({ timeout: 20_000 });
  for (const page of [ada, bob]) {
    console.log(JSON.stringify(await page.getByRole("listitem").allTextContents()));
  }
  console.log(JSON.stringify({ problems }));
} finally {
  await browser.close();
}
