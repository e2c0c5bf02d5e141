import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type Extension,
  formatExtension,
  parseExtensions,
} from "../../protocol/extension_header.ts";

Deno.test("parseExtensions() reads the examples of RFC 6455 section 9.1 and RFC 7692 section 7.1", () => {
  const examples: [header: string, extensions: Extension[]][] = [
    ["foo", [{ name: "foo", params: [] }]],
    ["bar; baz=2", [{ name: "bar", params: [["baz", "2"]] }]],
    ["foo, bar; baz=2", [{ name: "foo", params: [] }, { name: "bar", params: [["baz", "2"]] }]],
    ["deflate-stream", [{ name: "deflate-stream", params: [] }]],
    ["mux; max-channels=4; flow-control, deflate-stream", [
      { name: "mux", params: [["max-channels", "4"], ["flow-control", undefined]] },
      { name: "deflate-stream", params: [] },
    ]],
    ["private-extension", [{ name: "private-extension", params: [] }]],
    [
      "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits",
      [
        {
          name: "permessage-deflate",
          params: [["client_max_window_bits", undefined], ["server_max_window_bits", "10"]],
        },
        { name: "permessage-deflate", params: [["client_max_window_bits", undefined]] },
      ],
    ],
  ];
  for (const [header, extensions] of examples) {
    assertEquals(parseExtensions(header), extensions, header);
  }
});

Deno.test("parseExtensions() takes a quoted value for the token in it (RFC 6455 section 9.1)", () => {
  for (const value of ['"10"', '"1\\0"', '"\\1\\0"', ' \t "10" \t']) {
    assertEquals(parseExtensions(`a; b=${value}; c`), [
      { name: "a", params: [["b", "10"], ["c", undefined]] },
    ], value);
  }
});

Deno.test("parseExtensions() keeps names and parameters as they are, repeated ones too", () => {
  assertEquals(parseExtensions("A; b; B; b=1, A"), [
    { name: "A", params: [["b", undefined], ["B", undefined], ["b", "1"]] },
    { name: "A", params: [] },
  ]);
  const token = "!#$%&'*+.^_`|~09azAZ-";
  assertEquals(parseExtensions(`${token};${token}=${token}`), [
    { name: token, params: [[token, token]] },
  ]);
});

Deno.test("parseExtensions() skips spaces and empty elements (RFC 9110 section 5.6.1)", () => {
  const one = [{ name: "a", params: [["b", "1"]] }];
  for (
    const header of ["a;b=1", " a ; b = 1 ", "\ta\t;\tb\t=\t1\t", ",a;b=1", "a;b=1,", ", ,a;b=1, ,"]
  ) {
    assertEquals(parseExtensions(header), one as Extension[], header);
  }
  for (const header of ["", " ", ",", " , "]) assertEquals(parseExtensions(header), [], header);
});

Deno.test("parseExtensions() gives undefined for what does not follow the grammar (RFC 6455 section 9.1)", () => {
  for (
    const header of [
      "a;",
      "a; ",
      "a;;b",
      "a;,b",
      ";a",
      "a b",
      "a; b c",
      "a=1",
      "a; b=",
      "a; =1",
      "a; b==1",
      "a; b=1 2",
      'a; b=""',
      'a; b="1',
      'a; b=1"',
      'a; b="1 2"',
      'a; b="1,2"',
      'a; b="1\\"',
      'a; b="1"2',
      '"a"',
      "a; b=(1)",
      "a/b",
      "a\r\nb",
      "a\0",
      "é",
      "a, b;",
    ]
  ) assertEquals(parseExtensions(header), undefined, JSON.stringify(header));
});

const token = fc.string({
  unit: fc.constantFrom(..."!#$%&'*+.^_`|~-0189abyzABYZ"),
  minLength: 1,
  maxLength: 8,
});
const extension: fc.Arbitrary<Extension> = fc.record({
  name: token,
  params: fc.array(fc.tuple(token, fc.option(token, { nil: undefined })), { maxLength: 4 }),
});

Deno.test("parseExtensions() reads what formatExtension() wrote", () => {
  fc.assert(
    fc.property(fc.array(extension, { minLength: 1, maxLength: 4 }), (extensions) => {
      assertEquals(parseExtensions(extensions.map(formatExtension).join(", ")), extensions);
    }),
  );
});

Deno.test("formatExtension() writes parameters in their order", () => {
  assertEquals(
    formatExtension({ name: "a", params: [["b", undefined], ["c", "1"]] }),
    "a; b; c=1",
  );
  assertEquals(formatExtension({ name: "a", params: [] }), "a");
});

Deno.test("parseExtensions() never throws, and what it gives holds tokens alone", () => {
  const isToken = (text: string) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
  const likely = fc.string({
    unit: fc.constantFrom(...'ab1 \t,;="\\\0é\r\n'),
    maxLength: 30,
  });
  fc.assert(
    fc.property(
      fc.oneof(likely, fc.string({ unit: "binary", maxLength: 20 })),
      (header) =>
        (parseExtensions(header) ?? []).every(({ name, params }) =>
          isToken(name) &&
          params.every(([key, value]) => isToken(key) && (value === undefined || isToken(value)))
        ),
    ),
    { numRuns: 1000 },
  );
});

Deno.test("parseExtensions() takes no longer than the header is long", () => {
  for (
    const piece of [" ", "a", ",", ";", "=", '"', "\\", "a;", "a ", ",a", 'a="', "\\a", " ;", ", "]
  ) {
    for (const before of ["", "a", "a;", "a;b=", 'a;b="']) {
      for (const after of ["", "\0"]) {
        const header = before + piece.repeat(64 * 1024) + after;
        const start = performance.now();
        parseExtensions(header);
        // Some milliseconds; a second run over each run of characters would take seconds.
        assertEquals(performance.now() - start < 500, true, JSON.stringify(before + piece));
      }
    }
  }
});
