import { assertEquals, assertMatch } from "@std/assert";
import { buildSchema } from "graphql";
import { createClient } from "graphql-ws";
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, makeHandler } from "graphql-ws/use/deno";
import { serve, upgradeWebSocket, WebSocket } from "../../../mod.ts";

const schema = buildSchema(`
  type Query { echo(text: String!): String! }
  type Subscription { count(to: Int!): Int! }
`);

const roots = {
  query: { echo: ({ text }: { text: string }) => text },
  subscription: {
    async *count({ to }: { to: number }) {
      for (let count = 1; count <= to; count++) yield { count };
    },
  },
};

/** A server of graphql-ws, and its sockets. */
function serveGraphql() {
  const sockets: WebSocket[] = [];
  const handle = makeHandler({ schema, roots });
  const server = serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const protocol = GRAPHQL_TRANSPORT_WS_PROTOCOL;
    const { socket, response } = upgradeWebSocket(request, { protocol });
    handle(socket);
    sockets.push(socket);
    return response;
  });
  return Object.assign(server, { url: `ws://127.0.0.1:${server.addr.port}/graphql`, sockets });
}

Deno.test("WebSocket and upgradeWebSocket() carry graphql-ws: a query and a subscription", async () => {
  await using server = serveGraphql();
  const client = createClient({ url: server.url, webSocketImpl: WebSocket, lazy: false });

  const text = "hello ".repeat(1000);
  const query = "query ($text: String!) { echo(text: $text) }";
  for await (const { data } of client.iterate({ query, variables: { text } })) {
    assertEquals(data, { echo: text });
  }
  const counts: unknown[] = [];
  for await (const { data } of client.iterate({ query: "subscription { count(to: 3) }" })) {
    counts.push(data?.count);
  }
  assertEquals(counts, [1, 2, 3]);

  assertEquals(server.sockets.length, 1);
  assertMatch(server.sockets[0]!.extensions, /^permessage-deflate/);
  assertEquals(server.sockets[0]!.protocol, "graphql-transport-ws");
  await client.dispose();
});

Deno.test("WebSocket has graphql-ws connect anew after the server closed with 1001", async () => {
  await using server = serveGraphql();
  const client = createClient({
    url: server.url,
    webSocketImpl: WebSocket,
    lazy: false,
    retryWait: () => Promise.resolve(),
  });
  const connected = () =>
    new Promise<void>((resolve) => {
      const off = client.on("connected", () => {
        off();
        resolve();
      });
    });
  await connected();
  const again = connected();
  server.sockets[0]!.close(1001);
  await again;
  for await (const { data } of client.iterate({ query: '{ echo(text: "again") }' })) {
    assertEquals(data, { echo: "again" });
  }
  assertEquals(server.sockets.length, 2);
  await client.dispose();
});
