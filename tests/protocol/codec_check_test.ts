import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { compressionWorks, findProblem } from "../../protocol/permessage_deflate/codec_check.ts";
import { type NativeZlibStream, withZlib } from "./driver.ts";

Deno.test("compressionWorks() is true on the runtime of these tests", () => {
  assertEquals(findProblem(), undefined);
  assertEquals(compressionWorks(), true);
});

/** Changes the native calls of a stream. */
function wrapped(
  stream: NativeZlibStream,
  change: (
    call: () => void,
    args: Parameters<NativeZlibStream["_handle"]["writeSync"]>,
  ) => void,
): NativeZlibStream {
  const { _handle } = stream;
  const { writeSync } = _handle;
  _handle.writeSync = (...args) => change(() => writeSync.apply(_handle, args), args);
  return stream;
}

Deno.test("findProblem() names what a zlib fails at", () => {
  const faults: [fault: string, (stream: NativeZlibStream, kind: string) => unknown, string][] = [
    // Deno 2.8.3.
    ["throws", (stream) =>
      wrapped(stream, () => {
        throw new TypeError("expected typed ArrayBufferView");
      }), "a message: expected typed ArrayBufferView"],
    ["has no native stream", () => ({}), "making its streams"],
    ["has no state", ({ _handle }) => ({ _handle }), "making its streams"],
    ["does nothing", (stream) => wrapped(stream, () => {}), "a message"],
    [
      "does nothing for inflating",
      (stream, kind) => kind === "inflate" ? wrapped(stream, () => {}) : stream,
      "a message",
    ],
    ["gives wrong bytes", (stream, kind) =>
      kind === "deflate"
        ? wrapped(stream, (call, args) => {
          call();
          args[4][args[5] + 20]! ^= 1;
        })
        : stream, "a message"],
    [
      "forgets the context of what is sent",
      (stream, kind) =>
        kind === "deflate"
          ? wrapped(stream, (call) => {
            stream._handle.reset();
            call();
          })
          : stream,
      "a message that refers to the one before it: no context was kept",
    ],
    [
      "forgets the context of what is received",
      (stream, kind) =>
        kind === "inflate"
          ? wrapped(stream, (call, args) => {
            call();
            // At the end of a message.
            if (args[3] === 4) stream._handle.reset();
          })
          : stream,
      "a message that refers to the one before it",
    ],
    [
      "flushes at each slice",
      (stream, kind) =>
        kind === "deflate"
          ? wrapped(stream, (call, args) => {
            args[2] = 0;
            call();
          })
          : stream,
      "a message in slices",
    ],
    ["stops where a stream ends", (stream, kind) => {
      if (kind === "inflate") stream._handle.reset = () => {};
      return stream;
    }, "a message that ends its stream"],
    ["hides its errors", (stream, kind) => {
      if (kind === "inflate") {
        Object.defineProperty(stream._handle, "onerror", { get: () => () => {}, set() {} });
      }
      return stream;
    }, "input that is not DEFLATE"],
    ["cannot be reset", (stream, kind) => {
      if (kind === "deflate") stream._handle.reset = () => {};
      return stream;
    }, "starting anew"],
  ];
  for (const [fault, change, expected] of faults) {
    const problem = withZlib(change, findProblem);
    assert(problem?.startsWith(expected), `A zlib that ${fault}: ${problem}`);
  }
});

const { state } = await Deno.permissions.query({ name: "read" });

Deno.test("compressionWorks() asks once, and says once what fails", {
  // The module is loaded a second time.
  ignore: state !== "granted",
}, async () => {
  // An instance of its own: the answer is kept for the process.
  const specifier = "../../protocol/permessage_deflate/codec_check.ts?new";
  const fresh = await import(specifier) as { compressionWorks: typeof compressionWorks };
  const { warn } = console;
  const lines: string[] = [];
  console.warn = (line: string) => lines.push(line);
  let streams = 0;
  try {
    withZlib((stream) => {
      streams++;
      return wrapped(stream, () => {
        throw new TypeError("expected typed ArrayBufferView");
      });
    }, () => assertEquals(fresh.compressionWorks(), false));
    assertEquals(fresh.compressionWorks(), false);
  } finally {
    console.warn = warn;
  }
  assertEquals([lines.length, streams], [1, 2]);
  assertStringIncludes(lines[0]!, "fails at a message: expected typed ArrayBufferView");
  assertEquals(compressionWorks(), true);
});
