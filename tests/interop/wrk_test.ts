import { assertEquals, assertMatch } from "@std/assert";
import { serve } from "../../mod.ts";
import { developmentCertificates, Program, RUNNABLE } from "../programs.ts";
import { succeeds } from "./peer.ts";

// It ends with 1 where it prints its version.
const ignore = !RUNNABLE || !await succeeds("sh", ["-c", "command -v wrk"]);

for (const secure of [true, false]) {
  Deno.test({
    name: `wrk is answered every request on connections kept over ${secure ? "TLS" : "TCP"}`,
    ignore,
    async fn() {
      const { cert, key } = await developmentCertificates();
      await using server = serve(
        { hostname: "127.0.0.1", port: 0, onListen() {}, ...(secure && { cert, key }) },
        () => new Response("x".repeat(1024)),
      );
      const url = `${secure ? "https" : "http"}://127.0.0.1:${server.addr.port}/`;
      const args = ["--threads=1", "--connections=32", "--duration=2s", url];
      await using program = new Program("wrk", args, { cwd: "/" });
      const { code, stdout } = await program.end();
      const report = stdout.join("\n");
      assertEquals(code, 0, report);
      assertMatch(report, /\b[1-9]\d* requests in /);
      // Neither line is there where all went well.
      assertEquals(/Socket errors|Non-2xx/.exec(report), null, report);
    },
  });
}
