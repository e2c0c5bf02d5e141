import { assertEquals, assertRejects } from "@std/assert";
import { generateCertificates } from "../../certs/generate.ts";
import {
  isDevelopmentCertificate,
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
  const at = (time: number) => readCertificatePair(paths, SENTENCES, time);

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
  const otherKey = write("other.key", other.key);
  const cases: [Partial<typeof good>, string][] = [
    [
      { cert: none },
      `the file "${none}" does not exist; name it with --cert, or make a development one with deno task certs`,
    ],
    [
      { key: none },
      `the file "${none}" does not exist; name it with --key, or make a development one with deno task certs`,
    ],
    [
      { cert: folder },
      `the file "${folder}" cannot be read by the current user; change its permissions`,
    ],
    ...[text, broken, good.key].map((path): [Partial<typeof good>, string] => [
      { cert: path },
      `"${path}" is not a PEM certificate; one starts with -----BEGIN CERTIFICATE-----`,
    ]),
    ...[text, good.cert].map((path): [Partial<typeof good>, string] => [
      { key: path },
      `"${path}" is not a PEM private key without a passphrase; one starts with -----BEGIN PRIVATE KEY-----`,
    ]),
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

Deno.test({
  name: "readCertificatePair() names the missing permission",
  permissions: { read: false },
  async fn() {
    await assertRejects(
      () => readCertificatePair({ cert: "a.crt", key: "a.key" }, SENTENCES),
      Failure,
      'Deno may not read "a.crt"; use certs/, or deno run --allow-read=a.crt instead of deno task',
    );
  },
});

withFiles("readAuthority() accepts nothing but certificates", async (write) => {
  const { ca, key } = await brought();
  assertEquals(await readAuthority(write("ca.crt", ca), SENTENCES), ca);
  for (const text of ["", "hello", key]) {
    const path = write("wrong", text);
    await assertRejects(
      () => readAuthority(path, SENTENCES),
      Failure,
      `"${path}" is not a PEM certificate`,
    );
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
