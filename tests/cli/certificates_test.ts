import { assertEquals, assertRejects } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { generateCertificates } from "../../certs/generate.ts";
import {
  isDevelopmentCertificate,
  keyPath,
  readAuthority,
  readCertificatePair,
} from "../../cli/certificates.ts";
import { sentencesIn } from "../../cli/sentences.ts";
import { Failure } from "../../cli/failure.ts";
import { brought, developmentCertificates, Folder, granted } from "../programs.ts";

const WRITABLE = await granted("read", "write");
const DAY = 24 * 60 * 60 * 1000;
const SENTENCES = sentencesIn("en");

/** A test whose body gets a function that writes a file and returns its path. */
function withFiles(
  name: string,
  body: (write: (name: string, text: string) => string, folder: string) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: !WRITABLE,
    async fn() {
      await using folder = new Folder();
      await body((name, text) => {
        const path = `${folder.path}/${name}`;
        Deno.writeTextFileSync(path, text);
        return path;
      }, folder.path);
    },
  });
}

/** A private key in PKCS#8, with a passphrase if there is one. */
function keyOf(type: "ec", options: { namedCurve: string }, passphrase?: string): string {
  const { privateKey } = generateKeyPairSync(type, options);
  const encryption = passphrase && { cipher: "aes-256-cbc", passphrase };
  return privateKey.export({ type: "pkcs8", format: "pem", ...encryption }) as string;
}

function date(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

withFiles("readCertificatePair() returns the text of both files", async (write) => {
  for (const { cert, key } of [await developmentCertificates(), await brought()]) {
    const paths = { cert: write("a.crt", cert), key: write("a.key", key) };
    assertEquals(await readCertificatePair(paths, SENTENCES), { cert, key });
  }
});

withFiles("readCertificatePair() reads the first of a chain", async (write) => {
  const { ca, cert, key } = await brought();
  const chain = `A comment\n${cert}\n${ca}`;
  const paths = { cert: write("a.crt", chain), key: write("a.key", key) };
  assertEquals(await readCertificatePair(paths, SENTENCES), { cert: chain, key });
});

withFiles("readCertificatePair() judges validity by the given time", async (write) => {
  const { cert, key } = await generateCertificates({ days: 10 });
  const paths = { cert: write("a.crt", cert), key: write("a.key", key) };
  const start = Date.now();
  const end = start + 10 * DAY;
  const at = (time: number) => readCertificatePair(paths, SENTENCES, "server", time);

  assertEquals((await at(start + 2 * DAY)).warning, undefined);
  const remedy = "make another with deno task certs";
  for (const time of [start + 4 * DAY, end - 60_000]) {
    assertEquals(
      (await at(time)).warning,
      `The certificate "${paths.cert}" expires on ${date(end)}; ${remedy}`,
    );
  }
  for (const time of [end + 1000, end + 99 * DAY]) {
    await assertRejects(
      () => at(time),
      Failure,
      `the certificate "${paths.cert}" expired on ${date(end)}; ${remedy}`,
    );
  }
  await assertRejects(
    () => at(start - DAY),
    Failure,
    `the certificate "${paths.cert}" is valid only from ${
      date(start)
    }; set the clock right or ${remedy}`,
  );
});

withFiles(
  "readCertificatePair() tells how to renew a certificate made elsewhere",
  async (write) => {
    const { cert, key } = await brought({ to: -1 });
    const paths = { cert: write("a.crt", cert), key: write("a.key", key) };
    await assertRejects(
      () => readCertificatePair(paths, SENTENCES),
      Failure,
      `expired on ${date(Date.now() - DAY)}; renew it with who issued it`,
    );
  },
);

withFiles("readCertificatePair() tells what is wrong with a file", async (write, folder) => {
  const { cert, key } = await developmentCertificates();
  const other = await brought();
  const good = { cert: write("good.crt", cert), key: write("good.key", key) };
  const none = `${folder}/none`;
  const text = write("text", "hello");
  const broken = write("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
  const empty = write("empty", "");
  const brokenKey = write(
    "broken.key",
    "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
  );
  const otherKey = write("other.key", other.key);
  const request = write(
    "request",
    "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
  );
  const encrypted = write("encrypted.key", keyOf("ec", { namedCurve: "P-256" }, "secret"));
  const cases: [Partial<typeof good>, string][] = [
    [
      { cert: none },
      `the file "${none}" does not exist; check --cert`,
    ],
    [
      { key: none },
      `the file "${none}" does not exist; check --key`,
    ],
    [
      { cert: folder },
      `the file "${folder}" cannot be read by the current user; change its permissions`,
    ],
    ...[text, broken, empty].map((path): [Partial<typeof good>, string] => [
      { cert: path },
      `"${path}" is not a PEM certificate; one starts with -----BEGIN CERTIFICATE-----`,
    ]),
    ...[text, empty, brokenKey].map((path): [Partial<typeof good>, string] => [
      { key: path },
      `"${path}" is not a PEM private key without a passphrase; one starts with -----BEGIN PRIVATE KEY-----`,
    ]),
    [
      { cert: good.key },
      `"${good.key}" has no certificate, only PRIVATE KEY; ` +
      "a PEM certificate starts with -----BEGIN CERTIFICATE-----",
    ],
    [
      { cert: request },
      `"${request}" has no certificate, only CERTIFICATE REQUEST; ` +
      "a PEM certificate starts with -----BEGIN CERTIFICATE-----",
    ],
    [
      { key: good.cert },
      `"${good.cert}" has no private key, only CERTIFICATE; ` +
      "a PEM key starts with -----BEGIN PRIVATE KEY-----",
    ],
    [
      { key: encrypted },
      `the key "${encrypted}" has a passphrase, which a server cannot ask for; ` +
      `take it off with openssl pkey -in ${encrypted} -out NEW`,
    ],
    [
      { key: otherKey },
      `the key "${otherKey}" is not that of the certificate "${good.cert}"; ` +
      "name the right pair with --cert and --key",
    ],
  ];
  for (const [changed, sentence] of cases) {
    const error = await assertRejects(
      () => readCertificatePair({ ...good, ...changed }, SENTENCES),
      Failure,
    );
    assertEquals([error.message, error.exitCode], [sentence, 1]);
  }
});

withFiles("readCertificatePair() warns of a certificate that is an authority's", async (write) => {
  const { cert, key } = await brought({ selfSigned: true });
  const paths = { cert: write("a.crt", cert), key: write("a.key", key) };
  const { warning, event } = await readCertificatePair(paths, SENTENCES);
  assertEquals(event, "certificateOfAuthority");
  assertEquals(
    warning,
    `The certificate "${paths.cert}" is that of an authority (CA:TRUE), which clients such as Deno ` +
      "refuse from a server; use one with CA:FALSE",
  );
});

withFiles("readCertificatePair() finds both in one file", async (write) => {
  const { ca, cert, key } = await brought();
  for (
    const text of [cert + key, key + cert, `${ca}${key}${cert}`, `${cert}${ca}\n# key\n${key}`]
  ) {
    const path = write("all.pem", text);
    const pair = await readCertificatePair({ cert: path, key: path }, SENTENCES);
    assertEquals(pair, { cert: text, key: text });
  }
});

withFiles(
  "keyPath() is the file of the certificate where that has a key",
  async (write, folder) => {
    const { cert, key } = await brought();
    const one = write("one.pem", cert + key);
    assertEquals(await keyPath(one, "other.key"), one);
    assertEquals(await keyPath(write("cert.pem", cert), "other.key"), "other.key");
    assertEquals(await keyPath(`${folder}/none`, "other.key"), "other.key");
  },
);

Deno.test({
  name: "readCertificatePair() names the missing permission",
  permissions: { read: false },
  async fn() {
    await assertRejects(
      () => readCertificatePair({ cert: "a.crt", key: "a.key" }, SENTENCES),
      Failure,
      'Deno may not read "a.crt"; use deno run --allow-net --allow-read --allow-write=certs --allow-env server.ts instead of deno task serve',
    );
  },
});

withFiles("readAuthority() accepts nothing but certificates", async (write) => {
  const { ca, key } = await brought();
  const read = (text: string) => readAuthority(write("ca.crt", text), SENTENCES);
  const alone = await read(ca);
  assertEquals(alone.trim(), ca.trim());
  // What TLS would not find its way through.
  assertEquals(await read(`\ufeff${ca}`.replaceAll("\n", " \r\n")), alone);
  assertEquals(await read(`the authority\n${ca}\nand once more\n${ca}\n`), alone + alone);
  const wrong: [string, string][] = [
    ["", "is not a PEM certificate"],
    ["hello", "is not a PEM certificate"],
    [key, "has no certificate, only PRIVATE KEY"],
  ];
  for (const [text, sentence] of wrong) {
    const path = write("wrong", text);
    await assertRejects(() => readAuthority(path, SENTENCES), Failure, `"${path}" ${sentence}`);
  }
});

withFiles(
  "isDevelopmentCertificate() is true of our own certificates alone",
  async (write, folder) => {
    const { cert } = await developmentCertificates();
    assertEquals(await isDevelopmentCertificate(write("ours", cert)), true);
    assertEquals(await isDevelopmentCertificate(write("theirs", (await brought()).cert)), false);
    assertEquals(await isDevelopmentCertificate(write("text", "hello")), false);
    assertEquals(await isDevelopmentCertificate(folder), false);
  },
);
