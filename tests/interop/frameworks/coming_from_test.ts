import { assertEquals } from "@std/assert";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { takenBy } from "../../docs/takers.ts";
import { RUNNABLE } from "../../programs.ts";

Deno.test({
  name: "The program of docs/coming-from.md with socket.io has rooms",
  ignore: !RUNNABLE,
  async fn() {
    const { Server } = await import("socket.io");
    const { io } = await import("socket.io-client");
    const [block] = await takenBy("tests/interop/frameworks/coming_from_test.ts");
    const httpServer = createServer().listen(0, "127.0.0.1");
    await once(httpServer, "listening");
    const server = new Server(httpServer);
    new Function("io", block!.text)(server);
    const { port } = httpServer.address() as AddressInfo;
    const open = () => io(`http://127.0.0.1:${port}`, { transports: ["websocket"] });
    const [first, second] = [open(), open()];
    const heard: string[] = [];
    second.on("said", (text: string) => heard.push(text));

    first.emit("join", "room 7");
    second.emit("join", "room 8");
    // The second one may not have joined yet.
    const said = new Promise<string>((resolve) => second.once("said", resolve));
    const timer = setInterval(() => first.emit("say", "room 8", "hello"), 50);
    assertEquals(await said, "hello");
    clearInterval(timer);
    const answer = new Promise<string>((resolve) => first.once("said", resolve));
    second.emit("say", "room 8", "to oneself");
    second.emit("say", "room 7", "back");
    assertEquals(await answer, "back");
    assertEquals(new Set(heard), new Set(["hello"]));

    first.disconnect();
    second.disconnect();
    await server.close();
  },
});
