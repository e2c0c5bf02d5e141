import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { X509Certificate } from "node:crypto";
import {
  generateCertificates,
  isThere,
  main,
  makeCertificates,
  MAX_DAYS,
  wasCutShort,
  writeCertificates,
} from "../../certs/generate.ts";
import { isDevelopmentCertificate, readCertificatePair } from "../../cli/certificates.ts";
import { sentencesIn } from "../../cli/sentences.ts";
import { Failure } from "../../cli/failure.ts";
import {
  brought,
  certificatesFolder,
  developmentCertificates,
  Folder,
  granted,
  once,
  Program,
  run,
  runHere,
} from "../programs.ts";

const WRITABLE = await granted("read", "write");
const MADE =
  'Certificado de desenvolvimento criado em "certs"; importe "certs/ca.crt" para confiar nele';
const DAY = 24 * 60 * 60 * 1000;

/** A test that works in a folder of its own. */
function inFolder(name: string, body: (folder: string) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !WRITABLE,
    async fn() {
      await using folder = new Folder();
      await body(folder.path);
    },
  });
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

/** Whether `folder` holds a certificate and its key. */
async function holdsPair(folder: string): Promise<boolean> {
  const paths = { cert: `${folder}/server.crt`, key: `${folder}/server.key` };
  await readCertificatePair(paths, sentencesIn("en"));
  return true;
}

Deno.test("generateCertificates() names this machine and each host", async () => {
  const local = "DNS:localhost, IP Address:127.0.0.1, IP Address:::1";
  const plain = new X509Certificate((await developmentCertificates()).cert);
  assertEquals(plain.subjectAltName, local);
  const hosts = ["dev.example", "*.dev.example", "192.0.2.1", "2001:db8::1", "localhost"];
  const { cert } = await generateCertificates({ hosts });
  assertEquals(
    new X509Certificate(cert).subjectAltName,
    `${local}, DNS:dev.example, DNS:*.dev.example, IP Address:192.0.2.1, ` +
      "IP Address:2001:db8::1",
  );
});

Deno.test("generateCertificates() makes certificates valid from now for 397 days, or for fewer", async () => {
  assertLessOrEqual(MAX_DAYS, 397);
  for (const [options, days] of [[{}, MAX_DAYS], [{ days: 30 }, 30]] as const) {
    const before = Date.now();
    const { ca, cert } = await generateCertificates(options);
    for (const pem of [ca, cert]) {
      const { validFrom, validTo } = new X509Certificate(pem);
      // X.509 has whole seconds.
      const from = Date.parse(validFrom);
      assert(from >= before - 1000 && from <= Date.now(), validFrom);
      assertEquals((Date.parse(validTo) - from) / DAY, days);
    }
  }
});

Deno.test("generateCertificates() makes an authority that is no server, and a server that is no authority", async () => {
  const { ca, cert, key } = await developmentCertificates();
  const [authority, server] = [new X509Certificate(ca), new X509Certificate(cert)];
  assert(authority.ca);
  assert(!server.ca);
  assertEquals(server.issuer, authority.subject);
  assert(server.verify(authority.publicKey));
  assert(!server.verify(server.publicKey));
  assertEquals(server.publicKey.asymmetricKeyType, "ec");
  assertEquals(server.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assertMatch(key, /^-----BEGIN PRIVATE KEY-----\n[^-]+\n-----END PRIVATE KEY-----\n$/);
});

Deno.test("generateCertificates() makes different ones each time", async () => {
  const [one, two] = [await developmentCertificates(), await generateCertificates()];
  assertNotEquals(one.key, two.key);
  const [first, second] = [new X509Certificate(one.ca), new X509Certificate(two.ca)];
  // A browser that imports both authorities must be able to tell them apart.
  assertNotEquals(first.subject, second.subject);
  assertNotEquals(first.serialNumber, second.serialNumber);
});

Deno.test("generateCertificates() makes a certificate that a TLS client of that authority accepts", async () => {
  const { ca, cert, key } = await developmentCertificates();
  for (const hostname of ["localhost", "127.0.0.1"]) {
    using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
    const accepted = listener.accept();
    const { port } = listener.addr;
    using tcp = await Deno.connect({ hostname: "127.0.0.1", port });
    using client = await Deno.startTls(tcp, { hostname, caCerts: [ca] });
    using server = await accepted;
    await Promise.all([client.handshake(), server.handshake()]);
  }
});

inFolder(
  "writeCertificates() leaves three files, and only the owner can read the key",
  async (folder) => {
    const made = await developmentCertificates();
    const certs = `${folder}/new/certs`;
    await writeCertificates(certs, made);
    assertEquals(namesIn(certs), ["ca.crt", "server.crt", "server.key"]);
    assertEquals(await Deno.readTextFile(`${certs}/ca.crt`), made.ca);
    assertEquals(await Deno.readTextFile(`${certs}/server.crt`), made.cert);
    assertEquals(await Deno.readTextFile(`${certs}/server.key`), made.key);
    if (Deno.build.os === "windows") return;
    const mode = (file: string) => Deno.statSync(`${certs}/${file}`).mode! & 0o777;
    assertEquals(mode("server.key"), 0o600);
    assertEquals(mode("server.crt") & 0o444, 0o444);
  },
);

inFolder("writeCertificates() replaces the key's mode together with the key", async (folder) => {
  await Deno.writeTextFile(`${folder}/server.key`, "open to all", { mode: 0o644 });
  await writeCertificates(folder, await developmentCertificates());
  if (Deno.build.os === "windows") return;
  assertEquals(Deno.statSync(`${folder}/server.key`).mode! & 0o777, 0o600);
});

/** The calls that write files. A crash stops all of them. */
const FILE_CALLS = ["mkdir", "open", "remove", "rename"] as const;

/** Runs `body`, and fails its file operations after the first `calls`, as a crash would. */
async function crashAfter(calls: number, body: () => Promise<void>): Promise<"crashed" | "done"> {
  const crash = new Error("crash");
  const originals = FILE_CALLS.map((name) => [name, Deno[name]] as const);
  let left = calls;
  for (const [name, original] of originals) {
    const stub = (...args: unknown[]) =>
      left-- > 0 ? Reflect.apply(original, Deno, args) : Promise.reject(crash);
    Object.assign(Deno, { [name]: stub });
  }
  try {
    await body();
    return "done";
  } catch (error) {
    if (error !== crash) throw error;
    return "crashed";
  } finally {
    Object.assign(Deno, Object.fromEntries(originals));
  }
}

inFolder("writeCertificates() leaves no half pair wherever it is cut short", async (folder) => {
  const [old, made] = [await developmentCertificates(), await generateCertificates()];
  const starts: Record<string, (certs: string) => Promise<void>> = {
    empty: () => Promise.resolve(),
    replacing: (certs) => writeCertificates(certs, old),
  };
  for (const [start, prepare] of Object.entries(starts)) {
    const seen = new Set<string>();
    let outcome = "crashed";
    for (let calls = 0; outcome === "crashed"; calls++) {
      const certs = `${folder}/${start}-${calls}`;
      await prepare(certs);
      outcome = await crashAfter(calls, () => writeCertificates(certs, made));

      // At its next start, the server decides like this.
      const [cert, key] = [
        await isThere(`${certs}/server.crt`),
        await isThere(`${certs}/server.key`),
      ];
      const remade = (!cert && !key) || await wasCutShort(certs);
      assert(remade || await holdsPair(certs), `after ${calls} calls`);
      seen.add(remade ? "remade" : "whole");

      await writeCertificates(certs, made);
      assertEquals(namesIn(certs), ["ca.crt", "server.crt", "server.key"]);
      assertEquals(await Deno.readTextFile(`${certs}/server.crt`), made.cert);
      assert(await holdsPair(certs));
    }
    // Both outcomes were seen, so the crashes happened where they matter.
    assertEquals([...seen].sort(), ["remade", "whole"]);
  }
});

inFolder(
  "writeCertificates() leaves the old pair whole if the new one cannot be written",
  async (folder) => {
    const old = await developmentCertificates();
    await writeCertificates(folder, old);
    const made = await generateCertificates();
    const { open } = Deno;
    let opened = 0;
    const full = new Error("no space left");
    Deno.open = (...args) => ++opened === 3 ? Promise.reject(full) : open(...args);
    try {
      await assertRejects(() => writeCertificates(folder, made), Error, "no space left");
    } finally {
      Deno.open = open;
    }
    assertEquals(namesIn(folder), ["ca.crt", "server.crt", "server.key"]);
    assertEquals(await Deno.readTextFile(`${folder}/server.crt`), old.cert);
    assert(await holdsPair(folder));
  },
);

inFolder("makeCertificates() tells in one sentence why it cannot write", async (folder) => {
  await Deno.writeTextFile(`${folder}/certs`, "a file");
  const error = await assertRejects(
    () => makeCertificates(`${folder}/certs`, {}, sentencesIn("en")),
    Failure,
    `cannot write to "${folder}/certs" (`,
  );
  assert(!error.message.includes("\n"));
});

Deno.test({
  name: "makeCertificates() names the missing permission",
  permissions: { write: false, read: WRITABLE ? "inherit" : false },
  async fn() {
    await assertRejects(
      () => makeCertificates("nowhere", {}, sentencesIn("en")),
      Failure,
      'Deno may not write to "nowhere"; run with --allow-write=nowhere',
    );
  },
});

inFolder("isThere() is false below a file, and true of a link to nothing", async (folder) => {
  await Deno.writeTextFile(`${folder}/file`, "");
  assertEquals(await isThere(`${folder}/file`), true);
  assertEquals(await isThere(`${folder}/file/below`), false);
  assertEquals(await isThere(`${folder}/none`), false);
  await Deno.symlink(`${folder}/none`, `${folder}/link`);
  assertEquals(await isThere(`${folder}/link`), true);
});

once("certs/generate.ts makes a pair for each --host, and replaces its own", async () => {
  await using folder = new Folder();
  const args = ["--host=dev.example", "--host=2001:db8::1", "--days=2"];
  const first = await run("certs", args, { cwd: folder.path });
  assertEquals(first, { code: 0, stdout: [MADE], stderr: [] });
  const read = async () =>
    new X509Certificate(await Deno.readTextFile(`${folder.path}/certs/server.crt`));
  const one = await read();
  assertMatch(one.subjectAltName!, /DNS:dev\.example, IP Address:2001:db8::1$/);
  assertEquals((Date.parse(one.validTo) - Date.parse(one.validFrom)) / DAY, 2);

  const env = { WSS_HOST: "one.example,two.example" };
  const second = await run("certs", [], { cwd: folder.path, env });
  assertEquals(second.code, 0);
  const two = await read();
  assertMatch(two.subjectAltName!, /DNS:one\.example, DNS:two\.example$/);
  assertNotEquals(two.serialNumber, one.serialNumber);
  assert(await holdsPair(`${folder.path}/certs`));
});

once("certs/generate.ts refuses to replace what a user brought, without --force", async () => {
  const { cert, key } = await brought();
  const cases: [Record<string, string>, string][] = [
    [{ "server.crt": cert, "server.key": key }, "server.crt"],
    [{ "server.crt": cert }, "server.crt"],
    [{ "server.key": key }, "server.key"],
    [{ "server.crt": "not a certificate" }, "server.crt"],
  ];
  for (const [files, named] of cases) {
    await using folder = new Folder();
    const certs = `${folder.path}/certs`;
    await Deno.mkdir(certs);
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${certs}/${name}`, text);
    }
    assertEquals(await run("certs", [], { cwd: folder.path }), {
      code: 1,
      stdout: [],
      stderr: [
        `"certs/${named}" não foi criado por esta ferramenta e não será substituído; remova-o antes, ou use --force`,
      ],
    });
    assertEquals(namesIn(certs), Object.keys(files).sort());
    for (const [name, text] of Object.entries(files)) {
      assertEquals(await Deno.readTextFile(`${certs}/${name}`), text);
    }
  }
});

once("certs/generate.ts --force replaces what a user brought", async () => {
  await using folder = await certificatesFolder(await brought());
  assertEquals((await run("certs", ["--force"], { cwd: folder.path })).code, 0);
  const certs = `${folder.path}/certs`;
  assertEquals(namesIn(certs), ["ca.crt", "server.crt", "server.key"]);
  assert(await isDevelopmentCertificate(`${certs}/server.crt`));
  assert(await holdsPair(certs));
});

Deno.test("certs/generate.ts refuses what it does not understand", async () => {
  const host = "deve ser um nome de host ou endereço IP";
  const days = "deve ser um número inteiro de 1 a 397";
  const cases: [string[], string][] = [
    [["--bogus"], 'Opção desconhecida "--bogus"; veja --help'],
    [["extra", "--lang=en"], 'Unexpected argument "extra"; see --help'],
    [["--days=398"], `Valor inválido em --days: "398", ${days}`],
    [["--days=0"], `Valor inválido em --days: "0", ${days}`],
    ...["", "a b", "ä.example", "999.1.1.1", "1:2", "::1]/[", "https://a.example"].map((name) =>
      [[`--host=${name}`], `Valor inválido em --host: "${name}", ${host}`] as [string[], string]
    ),
  ];
  for (const [args, line] of cases) {
    const ending = await runHere((output) => main(args, output));
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

once("certs/generate.ts --help names every flag", async () => {
  await using folder = new Folder();
  const { code, stdout } = await run("certs", ["--help"], { cwd: folder.path });
  assertEquals(code, 0);
  for (const name of ["host", "days", "force", "lang", "help"]) {
    assertMatch(stdout.join("\n"), new RegExp(`^ .*--${name}\\b.* {2}\\S`, "m"));
  }
  assertThrows(() => Deno.lstatSync(`${folder.path}/certs`), Deno.errors.NotFound);
});

/** Whether openssl can be run here. */
async function hasOpenssl(): Promise<boolean> {
  if (!await granted("run", "read", "write", "env")) return false;
  try {
    return (await new Deno.Command("openssl", { args: ["version"] }).output()).success;
  } catch {
    return false;
  }
}

Deno.test({
  name: "certs/generate.ts makes certificates that openssl verify accepts",
  ignore: !await hasOpenssl(),
  async fn() {
    await using folder = await certificatesFolder();
    const args = "verify -x509_strict -purpose sslserver -CAfile certs/ca.crt certs/server.crt";
    await using openssl = new Program("openssl", args.split(" "), { cwd: folder.path });
    assertEquals(await openssl.end(), { code: 0, stdout: ["certs/server.crt: OK"], stderr: [] });
  },
});
