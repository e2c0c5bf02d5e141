/**
 * The flag `--compression`: off, a preset, or the parameters of RFC 7692 section 7.1 one by one.
 *
 * @module
 */

import {
  type CompressionOptions,
  compressionSettings,
} from "../protocol/permessage_deflate/options.ts";
import { BadValue, type Flag, value } from "./flags.ts";

/**
 * The presets. Figures are of JSON on Deno 2.9: bytes sent beside the plain ones, and CPU time of the sender for
 * each message, of 190 bytes and of 3.7 KB.
 */
export const PRESETS: Record<"on" | "fast" | "small", CompressionOptions> = {
  /** 23 % and 2 µs; 22 % and 13 µs. A context takes 300 KB while its connection sends. */
  on: {},
  /**
   * Short messages as they are; 28 % and 10 µs. No context is kept for sending: what it would save on messages of
   * 1 KiB and more is little beside its memory.
   */
  fast: { threshold: 1024, serverNoContextTakeover: true },
  /** 21 % and 7 µs; 17 % and 45 µs. Level 9 sends no more than 1 % less, and takes twice the time. */
  small: { level: 6 },
};

type Name = keyof CompressionOptions;

/** What the parameters are called; those of RFC 7692 by its names. */
const PARAMETERS = new Map<string, Name>([
  ["level", "level"],
  ["memLevel", "memLevel"],
  ["threshold", "threshold"],
  ["server_no_context_takeover", "serverNoContextTakeover"],
  ["client_no_context_takeover", "clientNoContextTakeover"],
  ["server_max_window_bits", "serverMaxWindowBits"],
  ["client_max_window_bits", "clientMaxWindowBits"],
]);

/** Those that have no value. */
const SWITCHES: ReadonlySet<Name> = new Set(["serverNoContextTakeover", "clientNoContextTakeover"]);

/** The flag. Its value is `false` for off. */
export const compressionFlag: Flag<false | CompressionOptions> = value(
  "PRESET",
  "on",
  (text) => {
    if (text === "off") return false;
    if (Object.hasOwn(PRESETS, text)) return PRESETS[text as keyof typeof PRESETS];
    return readParameters(text);
  },
);

/** Reads parameters that are separated by commas or semicolons, each given once and in its range. */
function readParameters(text: string): CompressionOptions {
  const options: Record<string, number | boolean> = {};
  for (const part of text.split(/[,;]/)) {
    const [name = "", digits, ...rest] = part.trim().split(/\s*=\s*/);
    const option = PARAMETERS.get(name);
    const isSwitch = option !== undefined && SWITCHES.has(option);
    const isWhole = rest.length === 0 &&
      (isSwitch ? digits === undefined : /^\d{1,9}$/.test(digits ?? ""));
    if (option === undefined || !isWhole || Object.hasOwn(options, option)) {
      throw new BadValue("compression");
    }
    options[option] = isSwitch || Number(digits);
  }
  try {
    compressionSettings(options);
  } catch {
    throw new BadValue("compression");
  }
  return options;
}
