import { assertEquals, assertMatch } from "@std/assert";
import { succeeds } from "../interop/peer.ts";
import { certificatesFolder, developmentCertificates, Program, RUNNABLE } from "../programs.ts";
import { wayNow } from "./ends.ts";
import { echo } from "../websocket/peers.ts";

/** OpenSSL as Debian has it refuses old versions of its own accord: not so with this. */
const ANY_CIPHER = ["-cipher", "ALL:@SECLEVEL=0"];

/** What became of OpenSSL's client with one version of TLS. */
async function connect(port: number, version: string, ca: string) {
  const { success, stderr } = await new Deno.Command("openssl", {
    args: [
      ...["s_client", "-brief", `-${version}`, ...ANY_CIPHER],
      ...["-connect", `127.0.0.1:${port}`, "-CAfile", ca, "-verify_return_error"],
    ],
    stdin: "null",
  }).output();
  return { success, told: new TextDecoder().decode(stderr) };
}

Deno.test({
  name: "serve() speaks TLS 1.2 and 1.3, and refuses 1.0 and 1.1",
  ignore: !RUNNABLE || !await succeeds("openssl", ["version"]),
  async fn() {
    await using folder = await certificatesFolder();
    const ca = `${folder.path}/certs/ca.crt`;
    const { cert, key } = await developmentCertificates();
    await using server = echo({}, { cert, key });
    for (const [version, name] of [["tls1", "TLSv1"], ["tls1_1", "TLSv1.1"]] as const) {
      const { success, told } = await connect(server.addr.port, version, ca);
      assertEquals(success, false);
      // The alert came from the server: `handshake_failure` or `protocol_version`.
      const refusal = wayNow() === "public" ? /unexpected eof/ : /SSL alert number (40|70)\n/;
      assertMatch(told, refusal);

      // It is not for the client's sake: with a server that speaks the version, so does it.
      await using other = new Program("openssl", [
        ...["s_server", "-accept", "127.0.0.1:0", "-www", `-${version}`, ...ANY_CIPHER],
        ...["-cert", "certs/server.crt", "-key", "certs/server.key"],
      ], { cwd: folder.path });
      const port = Number((await other.stdout.match(/^ACCEPT /)).split(":").at(-1));
      const control = await connect(port, version, ca);
      assertEquals(control.success, true, control.told);
      assertMatch(control.told, new RegExp(`^Protocol version: ${name}$`, "m"));
    }
    for (const [version, name] of [["tls1_2", "TLSv1.2"], ["tls1_3", "TLSv1.3"]] as const) {
      const { success, told } = await connect(server.addr.port, version, ca);
      assertEquals(success, true, told);
      assertMatch(told, new RegExp(`^Protocol version: ${name}$`, "m"));
      assertMatch(told, /^Verification: OK$/m);
    }
  },
});
