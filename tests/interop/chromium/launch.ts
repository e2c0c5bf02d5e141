/**
 * Debian's browsers, driven by puppeteer. Each trusts the server's certificate as that of a user does who has imported
 * the authority: there is no flag that lets certificates pass.
 *
 * @module
 */

import { type Browser, launch } from "puppeteer-core";

/** A browser. */
export type BrowserName = "chromium" | "firefox";

/** How a browser is started. */
export interface LaunchOptions {
  /** The folder for all that it writes. */
  folder: string;
  /** The file of the authority that it trusts, PEM. */
  authority: string;
  /** Whether its user likes it dark. @default {false} */
  isDark?: boolean;
}

/** Starts a browser. */
export async function launchBrowser(
  name: BrowserName,
  { folder, authority, isDark = false }: LaunchOptions,
): Promise<Browser> {
  const profile = `${folder}/profile`;
  await trust(name === "firefox" ? profile : `${folder}/.pki/nssdb`, authority);
  const common = {
    userDataDir: profile,
    env: { ...Deno.env.toObject(), HOME: folder },
    acceptInsecureCerts: false,
  };
  if (name === "firefox") {
    return await launch({
      ...common,
      browser: "firefox",
      executablePath: "/usr/bin/firefox-esr",
      extraPrefsFirefox: {
        "layout.css.prefers-color-scheme.content-override": isDark ? 0 : 1,
        // No proxy.
        "network.proxy.type": 0,
      },
    });
  }
  return await launch({
    ...common,
    browser: "chrome",
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-component-update",
      "--no-proxy-server",
      `--blink-settings=preferredColorScheme=${isDark ? 0 : 1}`,
    ],
  });
}

/** Imports an authority into a new database of NSS, where Firefox and Chromium keep those of their user. */
async function trust(database: string, authority: string): Promise<void> {
  await Deno.mkdir(database, { recursive: true });
  const certutil = async (...args: string[]) => {
    const command = new Deno.Command("certutil", { args: ["-d", `sql:${database}`, ...args] });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  await certutil("-N", "--empty-password");
  await certutil("-A", "-n", "development", "-t", "C,,", "-i", authority);
}
