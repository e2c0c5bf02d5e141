import { assertEquals } from "@std/assert";
import type { AddressInfo } from "node:net";
import { upgradeWebSocket } from "../../../mod.ts";
import { developmentCertificates, RUNNABLE } from "../../programs.ts";
import { assertEchoes, closed, opened } from "../../websocket/peers.ts";

for (const secure of [false, true]) {
  Deno.test({
    name: `upgradeWebSocket() serves fastify on ${secure ? "node:https" : "node:http"}`,
    ignore: !RUNNABLE,
    async fn() {
      const { ca, cert, key } = await developmentCertificates();
      const { default: fastify } = await import("fastify");
      const app = fastify({ https: secure ? { cert, key } : null });
      app.get("/plain", () => "plain");
      app.server.on("upgrade", (request, socket, head) => {
        if (request.url !== "/ws") return void socket.destroy();
        const upgrade = upgradeWebSocket(request, { socket, head });
        upgrade.socket.onmessage = ({ data }) => upgrade.socket.send(data);
      });
      await app.listen({ host: "127.0.0.1", port: 0 });
      const { port } = app.server.address() as AddressInfo;

      using trust = Deno.createHttpClient({ caCerts: [ca] });
      const plain = await fetch(`http${secure ? "s" : ""}://127.0.0.1:${port}/plain`, {
        client: trust,
      });
      assertEquals(await plain.text(), "plain");
      const socket = await opened(`ws${secure ? "s" : ""}://127.0.0.1:${port}/ws`, {
        caCerts: [ca],
      });
      await assertEchoes(socket);
      assertEquals((await closed(socket)).code, 1000);
      await app.close();
    },
  });
}
