import { assert, assertEquals, assertInstanceOf, assertNotEquals } from "@std/assert";
import { HandshakeError, WebSocket, type WebSocketOptions } from "../../mod.ts";
import {
  brought,
  certificatesFolder,
  developmentCertificates,
  Program,
  RUNNABLE,
} from "../programs.ts";
import { next } from "../websocket/peers.ts";
import { succeeds } from "./peer.ts";

const ignore = !RUNNABLE || !await succeeds("openssl", ["version"]);

/** How a connection fails: OpenSSL's server speaks HTTP, and no WebSocket. */
async function failure(url: string, options: WebSocketOptions): Promise<unknown> {
  const socket = new WebSocket(url, options);
  const [{ error }] = await Promise.all([
    next<ErrorEvent>(socket, "error"),
    next(socket, "close"),
  ]);
  return error;
}

for (const version of ["-tls1_2", "-tls1_3"]) {
  Deno.test({
    name: `WebSocket shows its certificate to OpenSSL's server, which demands one [${version}]`,
    ignore,
    async fn() {
      const own = await brought();
      const { ca } = await developmentCertificates();
      await using folder = await certificatesFolder();
      await Deno.writeTextFile(`${folder.path}/clients.crt`, own.ca);
      await using program = new Program("openssl", [
        ...["s_server", "-accept", "127.0.0.1:0", "-www", version],
        ...["-cert", "certs/server.crt", "-key", "certs/server.key"],
        ...["-CAfile", "clients.crt", "-Verify", "1", "-verify_return_error"],
      ], { cwd: folder.path });
      const port = /:(\d+)$/.exec(await program.stdout.match(/^ACCEPT .*:\d+$/))![1];
      const url = `wss://127.0.0.1:${port}/`;
      const shown = await failure(url, { caCerts: [ca], cert: own.cert, key: own.key });
      assertInstanceOf(shown, HandshakeError);
      assertEquals(shown.status, 200);
      assert(shown.body.includes("s_server"), shown.body);
      for (const options of [{}, await developmentCertificates()]) {
        const { cert, key } = options as { cert?: string; key?: string };
        const refused = await failure(url, { caCerts: [ca], ...cert && key && { cert, key } });
        assertNotEquals((refused as HandshakeError).status, 200);
      }
    },
  });
}
