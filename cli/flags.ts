/**
 * A program declares its flags once, in a table; parsing, the environment and `--help` follow from it.
 *
 * A flag `--idle-timeout` may also be set as `WSS_IDLE_TIMEOUT`, if the program may read the environment;
 * the command line wins. The variable of a repeatable flag holds several values, separated by commas, or
 * by line ends if a value may contain commas. What is empty, malformed or without effect is refused, but for
 * variables of flags that the mode does not use: these are set for all runs, and ignored.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { nearest } from "./nearest.ts";
import { fill, type Sentences } from "./sentences.ts";
import { Failure } from "./failure.ts";

/** One flag: how its text becomes a value, and how `--help` shows it. */
export interface Flag<T> {
  /** Turns the given texts (none when the flag is absent) into the value. Throws {@linkcode BadValue}. */
  parse(texts: string[]): T;
  /** Stands for the value in `--help`; absent for a flag without a value. */
  placeholder?: string;
  /** The value's text when neither command line nor environment gives one. */
  fallback?: string;
  /** `false` for a flag that the environment does not give. */
  hasVariable?: boolean;
  /** One letter that also names the flag. */
  alias?: string;
  /** Present if the flag may be repeated: separates the values in its variable. */
  separator?: "," | "\n";
  /** Another flag, and the texts of it with which this flag has no effect and is refused. */
  unless?: [flag: string, ...texts: string[]];
  /** Another flag, a number, whose value is the minimum of this one. */
  atLeast?: string;
  /** Other flags, or `flag=text` for one with that text, without all of which this one has no effect. */
  with?: string | readonly string[];
  /** Other flags that cannot be given together with this one. */
  without?: string | readonly string[];
  /** Present if users rely on the flag: without effect, its variable is refused too. */
  mustHold?: boolean;
  /** Hides the secret in a refused text; absent if the flag holds no secret. */
  show?: (text: string) => string;
}

/** The values of a table of flags. */
export type Values<F> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** Thrown by a flag's `parse`: says what the value must be. */
export class BadValue extends Error {
  override name = "BadValue";
  readonly kind: keyof Sentences["wanted"];
  readonly details: Record<string, string | number>;
  /** The one text of several that is bad, where the others are not. */
  readonly text: string | undefined;
  constructor(
    kind: keyof Sentences["wanted"],
    details: Record<string, string | number> = {},
    text?: string,
  ) {
    super(kind);
    this.kind = kind;
    this.details = details;
    this.text = text;
  }
}

/** The command line or the environment cannot be understood: exit code 2. */
export class UsageError extends Failure {
  override name = "UsageError";
  constructor(message: string) {
    super(message, 2);
  }
}

/** A flag that is on or off; in the environment, `1`, `true`, `0` or `false`. */
export function toggle(alias?: string): Flag<boolean> {
  const states = new Map([["true", true], ["1", true], ["false", false], ["0", false]]);
  return {
    parse(texts) {
      const state = states.get(texts.at(-1) ?? "false");
      if (state === undefined) throw new BadValue("oneOf", { choices: "true, false" });
      return state;
    },
    ...(alias && { alias }),
  };
}

/** The flag `--help`: `--help=all` asks for all there is to tell. */
export function helpToggle(): Flag<false | "short" | "all"> {
  return {
    ...toggle("h"),
    parse: (texts) => texts.at(-1) === "all" ? "all" : toggle().parse(texts) && "short",
  };
}

/** A flag with one value, which `parse` checks; `fallback` is the text of the default. */
export function value<T>(
  placeholder: string,
  fallback: string,
  parse: (text: string) => T,
): Flag<T> {
  return { placeholder, fallback, parse: (texts) => parse(texts.at(-1)!) };
}

/** A flag with one value and no default. */
export function optional(placeholder: string): Flag<string | undefined> {
  return {
    placeholder,
    parse: (texts) => texts.length === 0 ? undefined : notEmpty(texts.at(-1)!),
  };
}

/** The same flag without its default. */
export function withoutDefault<T>({ fallback: _, ...flag }: Flag<T>): Flag<T | undefined> {
  return { ...flag, parse: (texts) => texts.length === 0 ? undefined : flag.parse(texts) };
}

/** For {@linkcode value}: accepts any text that is not empty. */
export function notEmpty(text: string): string {
  if (text === "") throw new BadValue("nonEmpty");
  return text;
}

/** A whole number from `min` to `max`. */
export function integer(
  placeholder: string,
  fallback: number,
  min: number,
  max: number,
): Flag<number> {
  return value(placeholder, String(fallback), (text) => {
    const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(number >= min && number <= max)) throw new BadValue("integer", { min, max });
    return number;
  });
}

/** What the units of {@linkcode size} are, in bytes. As in curl and most tools, K is 1024. */
const SIZE_UNITS = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** What the units of {@linkcode duration} are, in milliseconds. */
const TIME_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A number of bytes, from `min` to `max`, which may have a unit: `16M`, `64KiB`. */
export function size(
  placeholder: string,
  fallback: number,
  min: number,
  max: number,
): Flag<number> {
  return value(placeholder, String(fallback), (text) => {
    const [, digits = "", unit = ""] =
      /^(\d{1,15}(?:\.\d{1,3}(?=[kmgt]))?)([kmgt]?)(?:i?b)?$/i.exec(text) ??
        [];
    const number = Number(digits) * SIZE_UNITS[unit.toLowerCase() as keyof typeof SIZE_UNITS];
    if (digits === "" || !isWithin(number, min, max)) throw new BadValue("size", { min, max });
    return number;
  });
}

/**
 * A time from `min` to `max`, which may have a unit: `500ms`, `30s`, `5m`, `1h`.
 *
 * @param unit That of a number without one, and of the value.
 */
export function duration(
  unit: "ms" | "s",
  fallback: number,
  min: number,
  max: number,
): Flag<number> {
  const placeholder = unit === "ms" ? "MS" : "SECONDS";
  return value(placeholder, String(fallback), (text) => {
    const [, digits = "", given = unit] =
      /^(\d{1,15}(?:\.\d{1,3}(?=[msh]))?)(ms|s|m|h)?$/.exec(text) ?? [];
    const ms = Number(digits) * TIME_UNITS[given as keyof typeof TIME_UNITS];
    const number = ms / TIME_UNITS[unit];
    if (digits === "" || !isWithin(number, min, max)) {
      throw new BadValue("duration", { min, max, unit });
    }
    return number;
  });
}

function isWithin(number: number, min: number, max: number): boolean {
  return Number.isInteger(number) && number >= min && number <= max;
}

/** One of `choices`; the first is the default. */
export function oneOf<const C extends string>(...choices: C[]): Flag<C> {
  return value(choices.join("|"), choices[0]!, (text) => {
    if (!choices.includes(text as C)) throw new BadValue("oneOf", { choices: choices.join(", ") });
    return text as C;
  });
}

/** A flag that may be repeated, each value checked by `check`. */
export function list(
  placeholder: string,
  separator: "," | "\n",
  check: (value: string, index: number, values: string[]) => string = (value) => value,
): Flag<string[]> {
  return { placeholder, separator, parse: (texts) => texts.map(check) };
}

/** The environment variable of a flag: `WSS_` and the flag's name. */
export function variableOf(name: string): string {
  return `WSS_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** Reads a variable. Undefined if the program may not read it: the user is not asked for permission. */
export function readEnvironment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

/**
 * Parses `args` by the table `flags`.
 *
 * @param flags The table.
 * @param args The command line, as in `Deno.args`.
 * @param sentences The language of the errors.
 * @param positionals How many arguments without a flag are allowed.
 * @param environment Reads one variable.
 * @returns The values; arguments without a flag are under `_`.
 * @throws {UsageError} If a flag is unknown, lacks its value, has a bad value, or has no effect.
 */
export function parseFlags<F extends Record<string, Flag<unknown>>>(
  flags: F,
  args: string[],
  sentences: Sentences,
  positionals = 0,
  environment: (variable: string) => string | undefined = readEnvironment,
): Values<F> & { _: string[] } {
  const usage = sentences.usage;
  const names = Object.keys(flags);
  const withValue = names.filter((name) => flags[name]!.placeholder !== undefined);
  refuseSeparated(args, names, sentences);
  refuseMissingValue(flags, args, sentences);
  // `parseArgs` takes `--no-port=1` for `--port=1`.
  const negated = beforeEnd(args).find((argument) => argument.startsWith("--no-"));
  if (negated !== undefined) throw unknownFlag(negated, names, sentences);

  const parsed = parseArgs(args, {
    boolean: names.filter((name) => !withValue.includes(name)),
    string: [...withValue, "_"],
    collect: withValue,
    alias: Object.fromEntries(names.flatMap((name) => {
      const alias = flags[name]!.alias;
      return alias === undefined ? [] : [[alias, name]];
    })),
    unknown(argument, key) {
      if (key !== undefined) throw unknownFlag(argument, names, sentences);
    },
  });
  const unwanted = parsed._[positionals];
  if (unwanted !== undefined) {
    throw new UsageError(fill(usage.unexpectedArgument, { argument: unwanted }));
  }

  const given = new Map(names.map((name) => {
    const texts = withValue.includes(name)
      ? parsed[name] as string[]
      : toggleTexts(name, args, parsed[name]);
    return [name, givenTexts(name, flags[name]!, texts, environment)];
  }));
  ignoreUnused(flags, given);

  const values: Record<string, unknown> = { _: parsed._ };
  for (const [name, { source, texts }] of given) {
    const flag = flags[name]!;
    try {
      values[name] = flag.parse(texts);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      throw new UsageError(fill(usage.badValue, {
        source,
        value: (error.text === undefined ? texts : [error.text]).map(flag.show ?? String).join(
          ", ",
        ),
        wanted: fill(sentences.wanted[error.kind], error.details),
      }));
    }
  }
  refuseWithoutEffect(flags, given, sentences);
  refuseCombinations(flags, given, sentences);
  refuseTooSmall(flags, values, given, sentences);
  return values as Values<F> & { _: string[] };
}

/** Refuses a flag behind `--`, which task runners of other tools need before flags, and Deno's does not. */
function refuseSeparated(args: string[], names: string[], { usage }: Sentences): void {
  const end = args.indexOf("--");
  if (end === -1) return;
  const flag = args[end + 1]?.split("=")[0] ?? "";
  const isFlag = names.includes(flag.replace(/^--/, "")) || end === 0;
  if (isFlag && flag.startsWith("-")) throw new UsageError(fill(usage.separator, { flag }));
}

/** What is given for a flag. */
interface Given {
  /** The flag or the variable. */
  source: string;
  texts: string[];
  by: "commandLine" | "environment" | "default";
}

/** What is given for each flag of the table. */
type AllGiven = Map<string, Given>;

/** Takes the default of each flag that the environment gives and this run does not use. */
function ignoreUnused(flags: Record<string, Flag<unknown>>, given: AllGiven): void {
  const excluding = (name: string, other: string) =>
    namesOf(flags[name]!.without).includes(other) || namesOf(flags[other]!.without).includes(name);
  const isUnused = (name: string) =>
    uselessWith(flags[name]!, given) !== undefined || lacking(flags[name]!, given) !== undefined ||
    [...given].some(([other, { by }]) => by === "commandLine" && excluding(name, other));
  // A flag that is ignored may be the one that another needs.
  for (let last = -1, count = 0; count !== last;) {
    last = count;
    for (const [name, { by }] of given) {
      const flag = flags[name]!;
      if (by !== "environment" || flag.mustHold || !isUnused(name)) continue;
      given.set(name, defaultOf(name, flag));
      count++;
    }
  }
}

/** The value of another flag with which a flag has no effect, if that is given. */
function uselessWith({ unless }: Flag<unknown>, given: AllGiven): string | undefined {
  const [other, ...texts] = unless ?? [];
  return other && texts.find((text) => given.get(other)!.texts.at(-1) === text);
}

/** The flags of which a flag needs one, if none is given. */
function lacking({ with: needed }: Flag<unknown>, given: AllGiven): string[] | undefined {
  const names = namesOf(needed);
  const isThere = (other: string) => {
    const [flag, text] = other.split("=");
    const { by, texts } = given.get(flag!)!;
    return text === undefined ? by !== "default" : texts.at(-1) === text;
  };
  return names.length === 0 || names.some(isThere) ? undefined : names.map((name) => `--${name}`);
}

/** What the command line and the environment give. */
function notDefaults(given: AllGiven): [name: string, source: string][] {
  return [...given].flatMap(([name, { source, by }]) => by === "default" ? [] : [[name, source]]);
}

/** Refuses flags that have no effect: a user who sets a limit relies on it. */
function refuseWithoutEffect(
  flags: Record<string, Flag<unknown>>,
  given: AllGiven,
  { usage }: Sentences,
): void {
  const withoutEffect = notDefaults(given).flatMap(([name, source]) => {
    const text = uselessWith(flags[name]!, given);
    return text === undefined ? [] : [{ source, other: flags[name]!.unless![0], text }];
  });
  if (withoutEffect.length === 0) return;
  const { other, text } = withoutEffect[0]!;
  throw new UsageError(fill(usage.noEffect, {
    flags: withoutEffect.map(({ source }) => `"${source}"`).join(", "),
    setting: `--${other}=${text}`,
    wanted: `--${other}=${flags[other]!.fallback}`,
  }));
}

/** Refuses flags that lack another one, and those that exclude one another. */
function refuseCombinations(
  flags: Record<string, Flag<unknown>>,
  given: AllGiven,
  { usage }: Sentences,
): void {
  const sources = new Map(notDefaults(given));
  for (const [name, source] of sources) {
    const others = lacking(flags[name]!, given);
    if (others !== undefined) {
      const details = { flag: source, other: others.join(" | ") };
      throw new UsageError(fill(usage.incomplete, details));
    }
    const other = namesOf(flags[name]!.without).find((other) => sources.has(other));
    if (other !== undefined) {
      const details = { flag: source, other: sources.get(other)! };
      throw new UsageError(fill(usage.excluded, details));
    }
  }
}

function namesOf(names: string | readonly string[] = []): readonly string[] {
  return typeof names === "string" ? [names] : names;
}

/** Refuses a number below the value of the flag that is its minimum. */
function refuseTooSmall(
  flags: Record<string, Flag<unknown>>,
  values: Record<string, unknown>,
  given: AllGiven,
  { usage, wanted }: Sentences,
): void {
  for (const [name, { atLeast }] of Object.entries(flags)) {
    if (atLeast === undefined || Number(values[name]) >= Number(values[atLeast])) continue;
    throw new UsageError(fill(usage.badValue, {
      source: given.get(name)!.source,
      value: String(values[name]),
      wanted: fill(wanted.atLeast, { flag: `--${atLeast}`, min: Number(values[atLeast]) }),
    }));
  }
}

/** The texts of a toggle. `parseArgs` cannot tell: any `--name=text` is true to it, and absence is false. */
function toggleTexts(name: string, args: string[], parsed: unknown): string[] {
  const last = beforeEnd(args).findLast((argument) =>
    argument === `--${name}` || argument.startsWith(`--${name}=`)
  );
  if (last === undefined && parsed === false) return [];
  return [last?.split("=", 2)[1] ?? String(parsed)];
}

/** The texts of one flag, by precedence: command line, environment, default. */
function givenTexts(
  name: string,
  flag: Flag<unknown>,
  given: string[],
  environment: (variable: string) => string | undefined,
): Given {
  if (given.length > 0) return { source: `--${name}`, texts: given, by: "commandLine" };

  const variable = variableOf(name);
  const value = flag.hasVariable === false ? undefined : environment(variable);
  if (value !== undefined) {
    if (flag.separator !== undefined) {
      const texts = value.split(flag.separator).map((part) => part.trim()).filter(Boolean);
      // A variable without any value is an empty value, which most flags refuse: ignoring it would, for
      // instance, accept every origin.
      return { source: variable, texts: texts.length === 0 ? [""] : texts, by: "environment" };
    }
    return { source: variable, texts: [value], by: "environment" };
  }
  return defaultOf(name, flag);
}

/** What stands for a flag that is not given. */
function defaultOf(name: string, { fallback }: Flag<unknown>): Given {
  return {
    source: `--${name}`,
    texts: fallback === undefined ? [] : [fallback],
    by: "default",
  };
}

/** The error for a flag that is not in the table, with the one that was meant if one is near. */
function unknownFlag(argument: string, names: string[], { usage }: Sentences): UsageError {
  const flag = argument.split("=")[0]!;
  const near = nearest(flag.replace(/^-+/, ""), names);
  return new UsageError(
    near === undefined
      ? fill(usage.unknownFlag, { flag })
      : fill(usage.unknownFlagNear, { flag, near: `--${near}` }),
  );
}

/** Refuses a flag without its value. `parseArgs` would read `--port --host=x` as an empty port. */
function refuseMissingValue(
  flags: Record<string, Flag<unknown>>,
  args: string[],
  { usage }: Sentences,
): void {
  const withValue = Object.entries(flags).filter(([, flag]) => flag.placeholder !== undefined)
    .flatMap(([name, { alias }]) =>
      alias === undefined ? [`--${name}`] : [`--${name}`, `-${alias}`]
    );
  const flagsOnly = beforeEnd(args);
  flagsOnly.forEach((argument, index) => {
    if (!withValue.includes(argument)) return;
    const next = flagsOnly[index + 1];
    if (next === undefined || next === "" || next.startsWith("-")) {
      throw new UsageError(fill(usage.missingValue, { flag: argument }));
    }
  });
}

/** The arguments before `--`; those after it are never flags. */
function beforeEnd(args: string[]): string[] {
  const end = args.indexOf("--");
  return end === -1 ? args : args.slice(0, end);
}

/**
 * The text of `--help`.
 *
 * @param usage The first lines: what the program is and how it is called.
 * @param flags The table.
 * @param descriptions One line for each flag.
 * @param headings Lines that stand before a flag, with which a group begins.
 */
export function helpText<F extends Record<string, Flag<unknown>>>(
  usage: string,
  flags: F,
  descriptions: Record<keyof F & string, string>,
  headings: Partial<Record<keyof F & string, string>> = {},
): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const alias = flag.alias === undefined ? "" : `-${flag.alias}, `;
    const value = flag.placeholder === undefined ? "" : `=${flag.placeholder}`;
    const fallback = flag.fallback === undefined || value === "" ? "" : ` [${flag.fallback}]`;
    const heading = headings[name] === undefined ? "" : `${headings[name]}\n`;
    return {
      heading,
      flag: `${alias}--${name}${value}`,
      text: `${descriptions[name]}${fallback}`,
    };
  });
  const width = Math.max(...rows.map(({ flag }) => flag.length));
  const lines = rows.map(({ heading, flag, text }) => `${heading}  ${flag.padEnd(width)}  ${text}`);
  // A heading sets the flags off as an empty line does.
  return `${usage}\n${rows[0]!.heading === "" ? "\n" : ""}${lines.join("\n")}`;
}
