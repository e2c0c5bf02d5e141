/**
 * Listens on the Unix socket of its first argument, and leads each connection to the port of its second.
 *
 * @module
 */

const [path, port] = Deno.args;
const listener = Deno.listen({ transport: "unix", path: path! });
console.log("listening");
for await (const connection of listener) {
  const other = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  void Promise.allSettled([
    connection.readable.pipeTo(other.writable),
    other.readable.pipeTo(connection.writable),
  ]);
}
