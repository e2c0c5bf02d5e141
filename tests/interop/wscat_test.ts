/** What `client.ts` does beside the same command of npm's wscat: the server sees the same. */

import { assertEquals } from "@std/assert";
import { serve, upgradeWebSocket } from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  run,
  RUNNABLE,
  shellCommandOf,
} from "../programs.ts";

const WSCAT = "wscat@6.1.0";

/** Whether wscat is there, or can be had from npm. */
async function hasWscat(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command("npx", {
      args: ["-y", WSCAT, "--version"],
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}

/** What a server has seen of a client. */
interface Seen {
  headers: Record<string, string | null>;
  messages: string[];
  code: number;
}

/** Commands that do the same. `URL` stands for the server's. */
const COMMANDS: [wscat: string[], ours: string[]][] = [
  [["-c", "URL", "-x", "one", "-x", "two", "-w", "1"], ["URL", "--message=one", "--message=two"]],
  [["-c", "URL", "-x", "a", "-w", "1", "-H", "X-A:b"], ["URL", "--message=a", "-H", "X-A: b"]],
  [["-c", "URL", "-x", "a", "-w", "1", "--auth", "me:s3cret"], [
    "URL",
    "--message=a",
    "--user=me:s3cret",
  ]],
  [["-c", "URL", "-x", "a", "-w", "1", "-s", "v1", "-s", "v2"], [
    "URL",
    "--message=a",
    "--protocol=v1",
    "--protocol=v2",
  ]],
  [["-c", "URL", "-x", "a", "-w", "1", "-o", "https://a.example"], [
    "URL",
    "--message=a",
    "--header=Origin: https://a.example",
  ]],
  [["-c", "URL", "-x", "a", "-w", "1", "--host", "a.example"], [
    "URL",
    "--message=a",
    "--host=a.example",
  ]],
  [["-c", "URL", "-x", "a", "-w", "1", "--ca", "certs/ca.crt"], [
    "URL",
    "--message=a",
    "--cacert=certs/ca.crt",
  ]],
];

const HEADERS = ["authorization", "host", "origin", "sec-websocket-protocol", "x-a"];

Deno.test({
  name: "client.ts shows a server what wscat shows it, by the same commands",
  ignore: !RUNNABLE || !await hasWscat(),
  async fn() {
    await using folder = await certificatesFolder();
    let seen: Seen | undefined;
    let closed = Promise.withResolvers<void>();
    const { cert, key } = await developmentCertificates();
    const options = { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} };
    await using server = serve(options, (request) => {
      const headers = HEADERS.map((
        name,
      ) => [name, request.headers.get(name)?.replaceAll(", ", ",") ?? null]);
      const current: Seen = { headers: Object.fromEntries(headers), messages: [], code: 0 };
      seen = current;
      const [protocol] = request.headers.get("Sec-WebSocket-Protocol")?.split(",") ?? [""];
      // Deno's own wants a space between the subprotocols, which wscat does not send.
      const { socket, response } = upgradeWebSocket(request, { protocol });
      socket.onmessage = ({ data }) => {
        current.messages.push(data);
        socket.send(data);
      };
      socket.onclose = () => closed.resolve();
      return response;
    });
    const url = `wss://localhost:${server.addr.port}/`;
    const there = (args: string[]) => args.map((arg) => arg === "URL" ? url : arg);
    const result = async (client: () => Promise<number>): Promise<Seen> => {
      closed = Promise.withResolvers();
      seen = undefined;
      const code = await client();
      await closed.promise;
      return { ...seen!, code };
    };
    for (const [wscat, ours] of COMMANDS) {
      const theirs = await result(async () => {
        const child = new Deno.Command("npx", {
          args: ["-y", WSCAT, "-n", ...there(wscat)],
          cwd: folder.path,
          // At the end of its input, it would leave before the answers.
          stdin: "piped",
          stdout: "null",
          stderr: "null",
        }).spawn();
        const { code } = await child.status;
        await child.stdin.close().catch(() => {});
        return code;
      });
      const own = await result(async () =>
        (await run("client", there(ours), { cwd: folder.path })).code
      );
      assertEquals(own, theirs, shellCommandOf("client", there(ours)));
    }
  },
});
