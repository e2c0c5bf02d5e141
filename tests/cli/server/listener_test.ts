/** The sentence for each reason why a server cannot listen. */

import { assertEquals } from "@std/assert";
import { listenFailure } from "../../../cli/server/listener.ts";
import { sentencesIn } from "../../../cli/sentences.ts";

Deno.test("listenFailure() tells the cause, and names the flag to change", () => {
  const { AddrInUse, AddrNotAvailable, NotCapable, PermissionDenied } = Deno.errors;
  const elsewhere = 'the address "192.0.2.1" is not one of this machine; choose another with';
  const cases: [error: Error, flag: string, sentence: string][] = [
    [
      new AddrInUse(),
      "--port",
      "port 80 is already in use; stop the other program or choose another with --port",
    ],
    [
      new PermissionDenied(),
      "--metrics",
      "not permitted to listen on port 80; choose one above 1023 with --metrics",
    ],
    [new AddrNotAvailable(), "--port", `${elsewhere} --host, or none for all interfaces`],
    [
      new Error("failed to lookup address information"),
      "--metrics",
      `${elsewhere} --metrics, or the port alone for 127.0.0.1`,
    ],
    [
      new NotCapable(),
      "--port",
      'Deno may not use the network at "192.0.2.1"; use deno run --allow-net --allow-read --allow-write=certs --allow-env server.ts instead of deno task serve',
    ],
    [new Error("something\nelse"), "--port", "something else"],
  ];
  for (const [error, flag, sentence] of cases) {
    const wanted = { hostname: "192.0.2.1", port: 80, flag };
    assertEquals(listenFailure(error, wanted, sentencesIn("en")), sentence);
  }
});
