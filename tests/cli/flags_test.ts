import { assertEquals, assertThrows } from "@std/assert";
import {
  BadValue,
  duration,
  type Flag,
  helpText,
  integer,
  list,
  notEmpty,
  oneOf,
  optional,
  parseFlags,
  readEnvironment,
  size,
  toggle,
  UsageError,
  value,
  variableOf,
} from "../../cli/flags.ts";
import { sentencesIn } from "../../cli/sentences.ts";

const flags = {
  port: integer("PORT", 8443, 0, 65535),
  "idle-timeout": integer("SECONDS", 30, 0, 100),
  host: optional("ADDRESS"),
  cert: value("FILE", "certs/server.crt", notEmpty),
  mode: oneOf("reply", "echo"),
  origin: list("ORIGIN", ",", (origin) => {
    if (!origin.startsWith("https:")) throw new BadValue("origin");
    return origin;
  }),
  message: list("TEXT", "\n"),
  json: toggle(),
  help: toggle("h"),
};

function parse(args: string[], environment: Record<string, string> = {}, positionals = 0) {
  return parseFlags(flags, args, sentencesIn("en"), positionals, (name) => environment[name]);
}

/** The sentence with which `args` are refused. */
function refusal(args: string[], environment: Record<string, string> = {}, positionals = 0) {
  const error = assertThrows(() => parse(args, environment, positionals), UsageError);
  assertEquals(error.exitCode, 2);
  return error.message;
}

Deno.test("parseFlags() gives every flag its default", () => {
  assertEquals(parse([]), {
    _: [],
    port: 8443,
    "idle-timeout": 30,
    host: undefined,
    cert: "certs/server.crt",
    mode: "reply",
    origin: [],
    message: [],
    json: false,
    help: false,
  });
});

Deno.test("parseFlags() reads a value after = or from the next argument", () => {
  assertEquals(parse(["--port=1"]).port, 1);
  assertEquals(parse(["--port", "1"]).port, 1);
  assertEquals(parse(["--host", "a=b"]).host, "a=b");
  assertEquals(parse(["--host=a=b"]).host, "a=b");
  assertEquals(parse(["--message=--json"]).message, ["--json"]);
  assertEquals(parse(["--message="]).message, [""]);
  assertEquals(parse(["--message=007"]).message, ["007"]);
});

Deno.test("parseFlags() takes the last value of a flag, and every value of a list", () => {
  assertEquals(parse(["--port=1", "--port=2"]).port, 2);
  assertEquals(parse(["--message=b", "--message", "a, c"]).message, ["b", "a, c"]);
});

Deno.test("parseFlags() reads toggles: bare, with a state, and by their letter", () => {
  assertEquals(parse(["--json"]).json, true);
  for (const [state, expected] of [["true", true], ["1", true], ["false", false], ["0", false]]) {
    assertEquals(parse([`--json=${state}`]).json, expected);
    assertEquals(parse([], { WSS_JSON: String(state) }).json, expected);
  }
  assertEquals(parse(["--json", "--json=false"]).json, false);
  assertEquals(parse(["--json", "false"]).json, false);
  assertEquals(parse(["-h"]).help, true);
  assertEquals(parse(["-h=0"]).help, false);
  assertEquals(parse(["--json", "wss://a/"], {}, 1), { ...parse(["--json"]), _: ["wss://a/"] });
});

Deno.test("parseFlags() prefers the command line to the environment to the default", () => {
  const environment = { WSS_PORT: "1", WSS_IDLE_TIMEOUT: "2", WSS_JSON: "true" };
  assertEquals(parse([], environment).port, 1);
  assertEquals(parse([], environment)["idle-timeout"], 2);
  assertEquals(parse(["--port=3"], environment).port, 3);
  assertEquals(parse(["--json=false"], environment).json, false);
});

Deno.test("parseFlags() splits the variable of a list at its separator", () => {
  assertEquals(
    parse([], { WSS_ORIGIN: "https://a, https://b,," }).origin,
    ["https://a", "https://b"],
  );
  assertEquals(parse([], { WSS_MESSAGE: "a, b\nc\n" }).message, ["a, b", "c"]);
  assertEquals(parse(["--origin=https://c"], { WSS_ORIGIN: "https://a" }).origin, ["https://c"]);
});

Deno.test("parseFlags() reads a variable without any value as an empty one", () => {
  for (const text of ["", " ", ",", " , ,"]) {
    assertEquals(
      refusal([], { WSS_ORIGIN: text }),
      'Bad value of WSS_ORIGIN: "", must be an origin such as https://example.com, https://*.example.com, capacitor://localhost, file:// or null',
    );
  }
  assertEquals(parse([], { WSS_MESSAGE: "" }).message, parse(["--message="]).message);
});

Deno.test("parseFlags() allows as many arguments without a flag as `positionals` says", () => {
  assertEquals(parse(["a"], {}, 1)._, ["a"]);
  assertEquals(parse(["12"], {}, 1)._, ["12"]);
  assertEquals(parse(["--", "a"], {}, 1), { ...parse([]), _: ["a"] });
  assertEquals(parse(["--json", "--", "--a"], {}, 1), { ...parse(["--json"]), _: ["--a"] });
  assertEquals(refusal(["a", "b"], {}, 1), 'Unexpected argument "b"; see --help');
  assertEquals(refusal(["a"]), 'Unexpected argument "a"; see --help');
});

Deno.test("parseFlags() refuses a flag it does not know", () => {
  const unknown = [
    "--bogus",
    "-x",
    "--no-such",
    "--constructor",
    "--__proto__",
    "--a.b",
  ];
  for (const flag of unknown) {
    assertEquals(refusal([flag]), `Unknown flag "${flag}"; see --help`);
    assertEquals(refusal([`${flag}=1`]), `Unknown flag "${flag}"; see --help`);
  }
});

Deno.test("parseFlags() names the flag that was meant by one that it does not know", () => {
  const cases = { "--prot": "port", "--mesage": "message", "--idle-timeuot": "idle-timeout" };
  for (const [flag, near] of Object.entries(cases)) {
    assertEquals(refusal([flag]), `Unknown flag "${flag}", perhaps "--${near}"; see --help`);
    assertEquals(refusal([`${flag}=1`]), `Unknown flag "${flag}", perhaps "--${near}"; see --help`);
  }
  assertEquals(refusal(["--no-json"]), 'Unknown flag "--no-json"; see --help');
});

Deno.test("parseFlags() tells who writes -- before the flags to leave it out", () => {
  for (const args of [["--", "--port=1"], ["--", "--port"], ["--", "-h"]]) {
    const flag = args[1]!.split("=")[0];
    const line = `Leave out the "--" before "${flag}": flags come right after the name of the task`;
    assertEquals(refusal(args, {}, 1), `${line} or program`);
    if (args[1] !== "-h") assertEquals(refusal(["--json", ...args], {}, 1), `${line} or program`);
  }
});

Deno.test("parseFlags() refuses a letter without its value", () => {
  const table = { header: { ...list("TEXT", "\n"), alias: "H" } };
  const parse = (args: string[]) => parseFlags(table, args, sentencesIn("en"), 0, () => undefined);
  assertEquals(parse(["-H", "a: b", "-H=c: d"]).header, ["a: b", "c: d"]);
  assertThrows(() => parse(["-H"]), UsageError, 'Missing value of "-H"; write -H=VALUE');
});

Deno.test("size() takes units of 1024", () => {
  const table = { size: size("BYTES", 5, 1, 2 ** 30) };
  const parse = (text: string) =>
    parseFlags(table, [`--size=${text}`], sentencesIn("en"), 0, () => undefined).size;
  const cases = {
    "7": 7,
    "7B": 7,
    "64K": 65_536,
    "64k": 65_536,
    "64KiB": 65_536,
    "1.5M": 1_572_864,
  };
  for (const [text, bytes] of Object.entries({ ...cases, "1G": 2 ** 30, "16MB": 2 ** 24 })) {
    assertEquals(parse(text), bytes);
  }
  for (const text of ["", "K", "0", "2G", "1e3", "-1K", "1 K", "1KK", "0.0001K", "1.5"]) {
    assertThrows(
      () => parse(text),
      UsageError,
      `Bad value of --size: "${text}", must be a whole number of bytes from 1 to 1073741824, ` +
        "or with a unit, such as 64K or 16M",
    );
  }
});

Deno.test("duration() takes units, and a bare number in its own", () => {
  const table = {
    timeout: duration("ms", 5, 1, 86_400_000),
    "idle-timeout": duration("s", 30, 0, 86_400),
  };
  const parse = (arg: string) => parseFlags(table, [arg], sentencesIn("en"), 0, () => undefined);
  const cases = { "7": 7, "7ms": 7, "30s": 30_000, "1.5s": 1500, "5m": 300_000, "1h": 3_600_000 };
  for (const [text, ms] of Object.entries(cases)) {
    assertEquals(parse(`--timeout=${text}`).timeout, ms);
  }
  assertEquals(parse("--idle-timeout=7")["idle-timeout"], 7);
  assertEquals(parse("--idle-timeout=2m")["idle-timeout"], 120);
  assertEquals(parse("--idle-timeout=4000ms")["idle-timeout"], 4);
  for (const text of ["", "s", "30 s", "30S", "500ms", "25h", "-1s"]) {
    assertThrows(
      () => parse(`--idle-timeout=${text}`),
      UsageError,
      `Bad value of --idle-timeout: "${text}", must be a whole number from 0 to 86400 s, ` +
        "or with a unit, such as 500ms, 30s, 5m or 1h",
    );
  }
});

Deno.test("parseFlags() refuses a flag without its value", () => {
  const line = 'Missing value of "--port"; write --port=VALUE';
  for (const args of [["--port"], ["--port", "--json"], ["--port", ""], ["--port", "--", "1"]]) {
    assertEquals(refusal(args), line);
  }
});

Deno.test("parseFlags() names the flag or variable with the bad value", () => {
  const port = "must be a whole number from 0 to 65535";
  for (const text of ["", "x", "-1", "65536", "1.5", "1e3", "0x10", " 1", "9".repeat(20)]) {
    assertEquals(refusal([`--port=${text}`]), `Bad value of --port: "${text}", ${port}`);
    assertEquals(refusal([], { WSS_PORT: text }), `Bad value of WSS_PORT: "${text}", ${port}`);
  }
  assertEquals(
    refusal(["--host="]),
    'Bad value of --host: "", must be a text that is not empty',
  );
  assertEquals(
    refusal([], { WSS_CERT: "" }),
    'Bad value of WSS_CERT: "", must be a text that is not empty',
  );
  assertEquals(refusal(["--mode=x"]), 'Bad value of --mode: "x", must be one of: reply, echo');
  assertEquals(
    refusal(["--mode=Echo"]),
    'Bad value of --mode: "Echo", must be one of: reply, echo',
  );
  for (const state of ["", "maybe", "yes", "TRUE", "toString"]) {
    const line = `"${state}", must be one of: true, false`;
    assertEquals(refusal([`--json=${state}`]), `Bad value of --json: ${line}`);
    assertEquals(refusal([], { WSS_JSON: state }), `Bad value of WSS_JSON: ${line}`);
  }
  assertEquals(
    refusal(["--origin=https://a", "--origin=b"]),
    'Bad value of --origin: "https://a, b", must be an origin such as https://example.com, https://*.example.com, capacitor://localhost, file:// or null',
  );
});

Deno.test("parseFlags() refuses a flag that has no effect with another's value", () => {
  const limited = {
    mode: oneOf("reply", "echo"),
    limit: { ...integer("N", 5, 1, 10), unless: ["mode", "echo"] as [string, string] },
    size: {
      ...integer("N", 5, 1, 10),
      unless: ["mode", "echo"] as [string, string],
      mustHold: true,
    },
  };
  const parseLimited = (args: string[], environment: Record<string, string> = {}) =>
    parseFlags(limited, args, sentencesIn("en"), 0, (name) => environment[name]);
  assertEquals(parseLimited(["--limit=7"]), { _: [], mode: "reply", limit: 7, size: 5 });
  assertEquals(parseLimited(["--mode=echo"]), { _: [], mode: "echo", limit: 5, size: 5 });
  const refused: [string[], Record<string, string>, string][] = [
    [["--mode=echo", "--limit=5"], {}, '"--limit"'],
    [["--limit=7"], { WSS_MODE: "echo", WSS_SIZE: "7" }, '"--limit", "WSS_SIZE"'],
  ];
  for (const [args, environment, named] of refused) {
    const { message } = assertThrows(() => parseLimited(args, environment), UsageError);
    assertEquals(
      message,
      `Without effect with --mode=echo: ${named}; leave that out, or use --mode=reply`,
    );
  }
});

Deno.test("parseFlags() refuses a flag without the one that it needs, and with the one that it excludes", () => {
  const table = {
    cert: { ...optional("FILE"), with: "key" },
    key: optional("FILE"),
    unix: { ...optional("PATH"), without: "key" },
    mode: oneOf("reply", "rooms"),
    history: { ...optional("N"), with: "mode=rooms" },
  };
  const parse = (args: string[], environment: Record<string, string> = {}) =>
    parseFlags(table, args, sentencesIn("en"), 0, (name) => environment[name]);
  assertThrows(() => parse(["--cert=a"]), UsageError, "--cert has no effect without --key");
  assertThrows(
    () => parse([], { WSS_UNIX: "a", WSS_KEY: "b" }),
    UsageError,
    "WSS_UNIX and WSS_KEY cannot be used together",
  );
  assertEquals(parse(["--cert=a"], { WSS_KEY: "b" }).cert, "a");
  assertEquals(parse(["--unix=a"]).unix, "a");
  for (const args of [["--history=1"], ["--history=1", "--mode=reply"]]) {
    assertThrows(() => parse(args), UsageError, "--history has no effect without --mode=rooms");
  }
  assertEquals(parse(["--history=1"], { WSS_MODE: "rooms" }).history, "1");
});

Deno.test("parseFlags() ignores variables of flags that the mode does not use, whatever they hold", () => {
  const table = {
    mode: oneOf("reply", "rooms"),
    reply: { ...value("TEXT", "no", notEmpty), unless: ["mode", "rooms"] as [string, string] },
    history: { ...integer("N", 0, 0, 9), with: "mode=rooms" },
    follow: toggle("f"),
    interactive: { ...toggle(), without: "follow" },
    pretty: { ...toggle(), with: "interactive" },
    message: { ...list("TEXT", "\n"), without: "follow" },
  };
  const parse = (args: string[], environment: Record<string, string>) =>
    parseFlags(table, args, sentencesIn("en"), 0, (name) => environment[name]);
  const defaults = parse([], {});
  const environment = { WSS_HISTORY: "x", WSS_PRETTY: "1", WSS_REPLY: "yes" };
  assertEquals(parse([], environment), { ...defaults, reply: "yes" });
  assertEquals(parse(["--mode=rooms"], { WSS_REPLY: "" }), { ...defaults, mode: "rooms" });
  // The command line wins, whichever of the two names the other; `pretty` then has nothing to go with.
  const modes = { WSS_INTERACTIVE: "1", WSS_PRETTY: "1", WSS_MESSAGE: "a" };
  assertEquals(parse(["-f"], modes), { ...defaults, follow: true });
  assertEquals(parse(["--message=a"], { WSS_FOLLOW: "1" }), { ...defaults, message: ["a"] });
  assertThrows(() => parse(["--history=1"], {}), UsageError, "--history has no effect without");
});

Deno.test("parseFlags() refuses a variable that users rely on, where it would have no effect", () => {
  const table = {
    unix: { ...optional("PATH"), without: "proxy" },
    proxy: { ...optional("URL"), mustHold: true },
  };
  assertThrows(
    () => parseFlags(table, ["--unix=a"], sentencesIn("en"), 0, (name) => `${name}`),
    UsageError,
    "--unix and WSS_PROXY cannot be used together",
  );
});

Deno.test("parseFlags() takes one of several flags that another needs, and refuses any it excludes", () => {
  const table = {
    count: { ...integer("N", 0, 0, 9), with: ["stdin", "follow"] },
    stdin: toggle(),
    follow: { ...toggle(), without: ["stdin", "raw"] },
    raw: toggle(),
    host: { ...optional("NAME"), hasVariable: false },
  };
  const parse = (args: string[]) =>
    parseFlags(table, args, sentencesIn("en"), 0, (name) => name === "WSS_HOST" ? "x" : undefined);
  assertEquals(parse(["--count=1", "--follow"]).count, 1);
  assertEquals(parse(["--count=1", "--stdin"]).host, undefined);
  assertThrows(
    () => parse(["--count=1"]),
    UsageError,
    "--count has no effect without --stdin | --follow",
  );
  assertThrows(
    () => parse(["--raw", "--follow"]),
    UsageError,
    "--follow and --raw cannot be used together",
  );
});

Deno.test("parseFlags() refuses a number below the flag that is its minimum", () => {
  const shared = {
    workers: integer("N", 1, 1, 10),
    limit: { ...integer("N", 5, 1, 10), atLeast: "workers" },
  };
  const parseShared = (args: string[], environment: Record<string, string> = {}) =>
    parseFlags(shared, args, sentencesIn("en"), 0, (name) => environment[name]);
  assertEquals(parseShared(["--workers=5"]), { _: [], workers: 5, limit: 5 });
  const refused: [string[], Record<string, string>, string][] = [
    [["--workers=4", "--limit=3"], {}, 'Bad value of --limit: "3", must be at least 4'],
    [["--workers=4"], { WSS_LIMIT: "3" }, 'Bad value of WSS_LIMIT: "3", must be at least 4'],
    [[], { WSS_WORKERS: "6" }, 'Bad value of --limit: "5", must be at least 6'],
  ];
  for (const [args, environment, sentence] of refused) {
    const { message } = assertThrows(() => parseShared(args, environment), UsageError);
    assertEquals(message, `${sentence}, the value of --workers`);
  }
});

Deno.test("parseFlags() does not catch an error other than BadValue", () => {
  const broken: Record<string, Flag<unknown>> = {
    port: {
      parse() {
        throw new RangeError("a bug");
      },
    },
  };
  assertThrows(
    () => parseFlags(broken, [], sentencesIn("en"), 0, () => undefined),
    RangeError,
    "a bug",
  );
});

Deno.test({
  name: "readEnvironment() reads nothing without permission, and does not ask for it",
  permissions: { env: false },
  fn() {
    assertEquals(readEnvironment("WSS_PORT"), undefined);
  },
});

Deno.test("variableOf() is WSS_ and the flag's name", () => {
  assertEquals(variableOf("port"), "WSS_PORT");
  assertEquals(variableOf("idle-timeout"), "WSS_IDLE_TIMEOUT");
});

Deno.test("helpText() gives every flag a line: letter, value, description, default", () => {
  const descriptions = Object.fromEntries(
    Object.keys(flags).map((name) => [name, `about ${name}`]),
  ) as Record<keyof typeof flags, string>;
  assertEquals(
    helpText("How to use it", flags, descriptions),
    `How to use it

  --port=PORT             about port [8443]
  --idle-timeout=SECONDS  about idle-timeout [30]
  --host=ADDRESS          about host
  --cert=FILE             about cert [certs/server.crt]
  --mode=reply|echo       about mode [reply]
  --origin=ORIGIN         about origin
  --message=TEXT          about message
  --json                  about json
  -h, --help              about help`,
  );
});

Deno.test("helpText() has a heading in the place of the empty line, and before each further group", () => {
  const table = { host: optional("ADDRESS"), port: optional("PORT"), help: toggle("h") };
  const descriptions = { host: "a", port: "b", help: "c" };
  assertEquals(
    helpText("How to use it", table, descriptions, { host: "Network:", help: "Others:" }),
    `How to use it
Network:
  --host=ADDRESS  a
  --port=PORT     b
Others:
  -h, --help      c`,
  );
});
