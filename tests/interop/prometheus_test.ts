import { assert, assertEquals } from "@std/assert";
import { certificatesFolder, Peer, Program, RUNNABLE, startServer } from "../programs.ts";
import { succeeds } from "./peer.ts";

/** Reads a page with the parser of Prometheus' own library, and prints each family with its types. */
const PARSER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.argv[1]):
    samples = [[sample.name, sample.labels, sample.value] for sample in family.samples]
    print(json.dumps([family.name, family.type, family.documentation, samples]))
`;

/** Name, type, help, and samples of a name, labels and a value. */
type Family = [string, string, string, [string, Record<string, string>, number][]];

const ignore = !RUNNABLE || !await succeeds("/usr/bin/python3", ["-c", "import prometheus_client"]);

Deno.test({
  name: "server.ts --metrics is understood by Prometheus' own parser, with the names that it wants",
  ignore,
  async fn() {
    await using folder = await certificatesFolder();
    const flags = ["--metrics=0", "--mode=echo"];
    await using server = await startServer(flags, { cwd: folder.path });
    const url = /http:\S+/.exec(await server.program.stdout.match(/Métricas/))![0];
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    await peer.ask("hello");
    const page = await (await fetch(url)).text();
    await using parser = new Program("/usr/bin/python3", ["-c", PARSER, page], { cwd: "/" });
    const { code, stdout, stderr } = await parser.end();
    assertEquals([code, stderr], [0, []]);
    const families = stdout.map((line) => JSON.parse(line) as Family);
    assert(families.length > 15, page);
    for (const [name, type, help, samples] of families) {
      assert(/^(websocket|process)(_[a-z]+)+$/.test(name), name);
      assert(["counter", "gauge", "histogram"].includes(type), `${name} is of type ${type}`);
      assert(help.endsWith("."), `${name}: ${help}`);
      assert(samples.length > 0 && samples.length < 20, name);
    }
    const [, , , samples] = families.find(([name]) => name === "websocket_message_bytes")!;
    assertEquals(
      samples,
      ["received", "sent"].map((direction) => [
        "websocket_message_bytes_total",
        { direction },
        5,
      ]),
    );
  },
});
