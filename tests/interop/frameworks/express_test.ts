import { assertEquals } from "@std/assert";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { upgradeWebSocket } from "../../../mod.ts";
import { developmentCertificates, RUNNABLE } from "../../programs.ts";
import { assertEchoes, closed, opened } from "../../websocket/peers.ts";

for (const secure of [false, true]) {
  Deno.test({
    name: `upgradeWebSocket() serves express on ${secure ? "node:https" : "node:http"}`,
    ignore: !RUNNABLE,
    async fn() {
      const { ca, cert, key } = await developmentCertificates();
      const { default: express } = await import("express");
      const app = express();
      app.get("/plain", (_: unknown, response: { send(body: string): void }) => {
        response.send("plain");
      });
      const server = secure ? createSecureServer({ cert, key }, app) : createServer(app);
      server.on("upgrade", (request, socket, head) => {
        if (request.url !== "/ws") return void socket.destroy();
        const upgrade = upgradeWebSocket(request, { socket, head });
        upgrade.socket.onmessage = ({ data }) => upgrade.socket.send(data);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;

      using trust = Deno.createHttpClient({ caCerts: [ca] });
      const plain = await fetch(`http${secure ? "s" : ""}://127.0.0.1:${port}/plain`, {
        client: trust,
        headers: { Connection: "close" },
      });
      assertEquals(await plain.text(), "plain");
      const socket = await opened(`ws${secure ? "s" : ""}://127.0.0.1:${port}/ws`, {
        caCerts: [ca],
      });
      await assertEchoes(socket);
      assertEquals((await closed(socket)).code, 1000);

      server.close();
      await once(server, "close");
    },
  });
}
