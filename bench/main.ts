/**
 * `deno task bench`: this project beside its peers, in one run. Linux only: it reads `/proc`.
 *
 * @module
 */

import { generateCertificates, writeCertificates } from "../certs/generate.ts";
import {
  BadValue,
  type Flag,
  helpText,
  integer,
  optional,
  parseFlags,
  toggle,
} from "../cli/flags.ts";
import { causeOf, Failure } from "../cli/failure.ts";
import { type Output, terminal } from "../cli/output.ts";
import { runProgram } from "../cli/program.ts";
import { DEFAULT, FULL, isNamed, type Load, type Plan, QUICK, titleOf } from "./loads.ts";
import { describeMachine } from "./machine.ts";
import { type Arena, type Contestant, measure } from "./measure.ts";
import type { MetricName } from "./metrics.ts";
import { toSvgs } from "./plot.ts";
import { capture, Pinning, projectPath, stopAll } from "./process.ts";
import { toMarkdown, toReadme } from "./report.ts";
import type { Result, Results } from "./results.ts";
import { ENGINE, OURS, type Rival, RIVALS, takesPart } from "./rivals.ts";
import { isTargeted } from "./targets.ts";

/** Where the pictures are. */
const PLOTS = "bench/plots";

const flags = {
  quick: toggle(),
  full: toggle(),
  only: names(() => FULL.loads.map(({ id }) => id)),
  rivals: names(() => RIVALS.map(({ id }) => id)),
  rounds: rounds(),
  "fetch-bun": toggle(),
  json: toggle(),
  from: optional("FILE"),
  save: toggle(),
  help: toggle("h"),
};

const descriptions: Record<keyof typeof flags, string> = {
  quick: "two minutes: two short rounds, and only what the targets speak of",
  full: "some hours: every combination of connections, size, depth and compression",
  only: "loads of this name, or whose name begins so",
  rivals: "contestants of this name, or whose name begins so; ours always takes part",
  rounds: "how often each is measured",
  "fetch-bun": "downloads Bun from npm into Deno's cache, where it is found from then on",
  json: "prints the raw figures instead of tables",
  from: "measures nothing, and takes the raw figures from FILE",
  save: "writes bench/README.md, bench/results.json and the pictures in bench/plots",
  help: "this help",
};

/** A flag with names, or what names begin with, cut at commas. */
function names(choices: () => string[]): Flag<string[]> {
  return {
    placeholder: "NAME,...",
    parse(texts) {
      const given = texts.flatMap((text) => text.split(","));
      const unknown = given.find((name) => !choices().some((choice) => isNamed(choice, name)));
      if (unknown !== undefined) throw new BadValue("oneOf", { choices: choices().join(", ") });
      return given;
    },
  };
}

function rounds(): Flag<number | undefined> {
  const whole = integer("N", DEFAULT.rounds, 1, 1000);
  return {
    placeholder: "N",
    parse: (texts) => texts.length === 0 ? undefined : whole.parse(texts),
  };
}

type Options = ReturnType<typeof parseFlags<typeof flags>>;

/** Runs the bench; returns the exit code. */
export function main(args: string[], output: Output): Promise<number> {
  return runProgram(["--lang=en"], output, async (messages) => {
    const options = parseFlags(flags, args, messages, 0, () => undefined);
    if (options.help) {
      output.out(helpText(usage(), flags, descriptions));
      return 0;
    }
    const command = ["deno task bench", ...args.filter((arg) => arg !== "--save")].join(" ");
    const results: Results = options.from === undefined
      ? await run(options, command, output)
      : JSON.parse(await Deno.readTextFile(options.from));
    if (options.save) await save(results);
    output.out(options.json ? JSON.stringify(results) : toMarkdown(results));
    return results.failed.length === 0 ? 0 : 1;
  });
}

function usage(): string {
  return `deno task bench: this project beside its peers

Loads: ${DEFAULT.loads.map(({ id }) => id).join(", ")}
Contestants: ${RIVALS.map(({ id }) => id).join(", ")}`;
}

async function run(options: Options, command: string, output: Output): Promise<Results> {
  if (Deno.build.os !== "linux") {
    throw new Failure(
      "Cannot measure: CPU time and memory are read from /proc, which only Linux has",
    );
  }
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "bench-" });
  const cleanUp = () => {
    stopAll();
    Deno.removeSync(folder, { recursive: true });
  };
  const interrupt = () => {
    cleanUp();
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  try {
    await writeCertificates(folder, await generateCertificates());
    return await compete(options, command, folder, output);
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", interrupt);
    cleanUp();
  }
}

/** Measures every load that was asked for. */
async function compete(
  options: Options,
  command: string,
  folder: string,
  output: Output,
): Promise<Results> {
  const plan = options.full ? FULL : options.quick ? QUICK : DEFAULT;
  const loads = chooseLoads(plan, options.only);
  const wanted = RIVALS.filter((rival) =>
    rival.id === OURS || options.rivals.length === 0 || isAnyOf(rival.id, options.rivals)
  );
  const entries = loads.map((load) => ({
    load,
    rivals: wanted.filter((rival) =>
      takesPart(rival, load) &&
      (!(plan.targetsOnly || load.targetsOnly) || options.rivals.length > 0 ||
        isTargeted(rival, load))
    ),
  }));
  const needed = wanted.filter((rival) => entries.some(({ rivals }) => rivals.includes(rival)));
  const { ready, missing } = await prepareAll(needed, folder, options["fetch-bun"]);
  for (const [name, why] of missing) output.err(`Missing: ${name}: ${why}`);

  const pinning = await Pinning.find();
  const machine = await describeMachine(pinning);
  const arena: Arena = { pinning, folder, host: ready.get(OURS)! };
  const times = options.rounds ?? plan.rounds;
  const startedAt = performance.now();
  const failed: string[] = [];
  const results: Result[] = [];
  for (const [i, { load, rivals }] of entries.entries()) {
    output.err(`${i + 1}/${entries.length} ${titleOf(load)}`);
    // Where the engines are not there, ours has nothing to be measured over.
    const isPossible = load.kind !== "engine" || ready.has(ENGINE);
    const contestants = isPossible ? rivals.flatMap((rival) => ready.get(rival.id) ?? []) : [];
    const outcome = await measureRounds(plan, load, contestants, times, arena);
    results.push(...outcome.results);
    for (const failure of outcome.failed) output.err(failure);
    failed.push(...outcome.failed);
  }
  const versions = [...ready.values()].map((
    { rival, version },
  ): [string, string] => [rival.name, version]);
  const minutes = Math.round((performance.now() - startedAt) / 60_000);
  return {
    command,
    date: new Date().toISOString().slice(0, 10),
    rounds: times,
    machine: [...machine, ["rounds", String(times)], ["minutes", String(minutes)], ...versions],
    missing,
    failed,
    results,
  };
}

/** The plan's loads, or those that were named, wherever they are found. */
function chooseLoads(plan: Plan, only: string[]): Load[] {
  if (only.length === 0) return plan.loads;
  const named = ({ id }: Load) => isAnyOf(id, only);
  const planned = plan.loads.filter(named);
  return planned.length > 0 ? planned : FULL.loads.filter(named);
}

function isAnyOf(id: string, names: string[]): boolean {
  return names.some((name) => isNamed(id, name));
}

async function prepareAll(rivals: Rival[], folder: string, fetchBun: boolean) {
  const ready = new Map<string, Contestant>();
  const missing: [string, string][] = [];
  for (const rival of rivals) {
    try {
      ready.set(rival.id, { rival, ...await rival.prepare({ folder, fetchBun }) });
    } catch (error) {
      missing.push([rival.name, causeOf(error)]);
    }
  }
  return { ready, missing };
}

/** Measures the contestants of a load by turns. One that fails in a round is left out of it. */
async function measureRounds(
  { times }: Plan,
  load: Load,
  contestants: Contestant[],
  rounds: number,
  arena: Arena,
): Promise<{ results: Result[]; failed: string[] }> {
  const failed: string[] = [];
  const results = contestants.map(({ rival: { id, name } }): Result => ({
    load,
    rival: id,
    name,
    extensions: "",
    samples: {},
  }));
  // A start has no warm-up of its own, but files that are read for the first time.
  for (let round = load.kind === "start" ? 0 : 1; round <= rounds; round++) {
    for (const [i, contestant] of contestants.entries()) {
      const result = results[i]!;
      try {
        const { figures, extensions } = await measure(load, times[load.kind], contestant, arena);
        if (round === 0) continue;
        result.extensions = extensions;
        for (const [name, figure] of Object.entries(figures)) {
          (result.samples[name as MetricName] ??= []).push(figure);
        }
      } catch (error) {
        failed.push(`${contestant.rival.name}, ${load.id}, round ${round}: ${causeOf(error)}`);
      }
    }
  }
  return { results, failed };
}

/** Writes the report and the pictures beside the bench, the report formatted as the project is. */
async function save(results: Results): Promise<void> {
  const write = (file: string, text: string) => Deno.writeTextFile(projectPath(file), text);
  await Deno.mkdir(projectPath(PLOTS), { recursive: true });
  for (const [name, svg] of Object.entries(toSvgs(results))) await write(`${PLOTS}/${name}`, svg);
  const files = {
    "bench/README.md": toReadme(results),
    "bench/results.json": JSON.stringify(results),
  };
  for (const [file, text] of Object.entries(files)) await write(file, text);
  await capture([Deno.execPath(), "fmt", "--quiet", ...Object.keys(files).map(projectPath)]);
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal));
