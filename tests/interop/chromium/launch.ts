/**
 * Debian's Chromium, driven by playwright.
 *
 * @module
 */

import { type Browser, chromium } from "playwright-core";

/** Starts it, with `folder` for all that it writes. */
export async function launch(folder: string): Promise<Browser> {
  return await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-proxy-server",
    ],
    env: { ...Deno.env.toObject(), HOME: folder },
  });
}
