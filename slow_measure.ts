import { acceptSockets, RawClient } from "./tests/websocket/peers.ts";
const t0 = performance.now();
const log = (...a: unknown[]) =>
  console.log(((performance.now() - t0) / 1000).toFixed(0) + "s", ...a);
async function trial(rate: number, size: number, idleTimeout: number, reads = true) {
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      for (let at = 0; at < size; at += 1 << 18) {
        socket.send(new Uint8Array(Math.min(1 << 18, size - at)));
      }
    };
    socket.onerror = (e) => log(rate, size, idleTimeout, "server error", (e as ErrorEvent).message);
    socket.onclose = (e) => log(rate, size, idleTimeout, "server close", e.code);
  }, { idleTimeout, compression: false });
  const c = await RawClient.open(server.addr.port);
  let got = 0;
  const buf = new Uint8Array(rate / 10);
  try {
    if (reads) {
      while (got < size) {
        const n = await c.connection.read(buf);
        if (n === null) break;
        got += n;
        await new Promise((r) => setTimeout(r, n * 1000 / rate));
      }
      log(rate, size, idleTimeout, "client read", got);
    } else await new Promise((r) => setTimeout(r, 400_000));
  } catch (e) {
    log(rate, "client", String(e), got);
  }
  c.connection.close();
}
await Promise.all([
  trial(10240, 2 << 20, 5),
  trial(10240, 6 << 20, 5),
  trial(20480, 4 << 20, 2),
  trial(65536, 12 << 20, 1),
  trial(10240, 1 << 20, 2, false),
]);
