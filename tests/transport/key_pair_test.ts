import { assertEquals, assertThrows } from "@std/assert";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  hasKey,
  KeyPairError,
  type KeyPairProblem,
  readCertificates,
  readKeyPair,
} from "../../transport/key_pair.ts";
import { serve } from "../../mod.ts";

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: Uint8Array.of(1, 0, 1),
};

/** An algorithm of WebCrypto. */
type Algorithm = typeof EC | typeof RSA & { modulusLength: number } | { name: "Ed25519" };

/** A server's certificate with those that issued it, the root last, and its key. */
async function chain(algorithm: Algorithm = EC) {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const generate = (algorithm: Algorithm) =>
    crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
  const [root, middle, own] = [await generate(EC), await generate(EC), await generate(algorithm)];
  const issued = async (
    subject: string,
    publicKey: CryptoKey,
    issuer: string,
    signingKey: CryptoKey,
    isAuthority: boolean,
  ) => {
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer,
      publicKey,
      signingKey,
      signingAlgorithm: EC,
      extensions: [
        new x509.BasicConstraintsExtension(isAuthority, undefined, true),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }]),
      ],
    });
    return `${certificate.toString("pem").trim()}\n`;
  };
  return {
    root: await issued("CN=root", root.publicKey, "CN=root", root.privateKey, true),
    middle: await issued("CN=middle", middle.publicKey, "CN=root", root.privateKey, true),
    own: await issued("CN=own", own.publicKey, "CN=middle", middle.privateKey, false),
    key: x509.PemConverter.encode(
      await crypto.subtle.exportKey("pkcs8", own.privateKey),
      "PRIVATE KEY",
    ) + "\n",
  };
}

/** The problem of a pair. */
function problemOf(cert: string, key: string): [KeyPairProblem, string] {
  const { problem, found } = assertThrows(() => readKeyPair(cert, key), KeyPairError);
  return [problem, found];
}

function block(label: string, body = "MAA="): string {
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

Deno.test("readKeyPair() puts the server's certificate first, and those that issued it behind it", async () => {
  const { root, middle, own, key } = await chain();
  const wanted = { cert: own + middle + root, key };
  const orders = [
    [own, middle, root],
    [own, root, middle],
    [middle, own, root],
    [middle, root, own],
    [root, own, middle],
    [root, middle, own],
  ];
  for (const order of orders) assertEquals(readKeyPair(order.join(""), key), wanted);
  assertEquals(readKeyPair(middle + own, key).cert, own + middle);
  assertEquals(readKeyPair(own, key).cert, own);
  // One that has nothing to do with it stays, behind the others.
  const other = (await chain()).own;
  assertEquals(readKeyPair(other + root + own + middle, key).cert, own + middle + root + other);
});

Deno.test("readKeyPair() finds both in one text, and the key that belongs to a certificate", async () => {
  const { middle, own, key } = await chain();
  const wanted = { cert: own + middle, key };
  for (const text of [own + middle + key, key + own + middle, middle + key + own]) {
    assertEquals(readKeyPair(text, text), wanted);
  }
  const other = (await chain()).key;
  assertEquals(readKeyPair(own + middle, other + key), wanted);
  assertEquals(readKeyPair(own + middle, block("EC PARAMETERS", "BggqhkjOPQMBBw==") + key), wanted);
});

Deno.test("readKeyPair() takes text around the blocks, CRLF, spaces and a byte order mark", async () => {
  const { middle, own, key } = await chain();
  const wanted = { cert: own + middle, key };
  const changes: ((text: string) => string)[] = [
    (text) => `\ufeff${text}`,
    (text) => text.replaceAll("\n", "\r\n"),
    (text) => text.replaceAll("\n", "  \t\n"),
    (text) => text.replaceAll(/^/gm, "    "),
    (text) => `Bag Attributes\n    friendlyName: a: b\n${text}\nthe end`,
    (text) => text.replaceAll(/-\n-/g, "-\nsubject=CN = own\n\n-"),
    (text) => text.replaceAll("\n", ""),
  ];
  for (const change of changes) {
    assertEquals(readKeyPair(change(own + middle), change(key)), wanted, change(key));
  }
});

Deno.test("readKeyPair() takes the other names that OpenSSL has for a certificate", async () => {
  const { own, key } = await chain();
  const body = own.replaceAll(/-----.*-----\n/g, "").replaceAll("\n", "");
  assertEquals(readKeyPair(block("X509 CERTIFICATE", body), key).cert, own);
  // What it is trusted for follows.
  const trusted = new Uint8Array([...Uint8Array.fromBase64(body), 0x30, 0x02, 0x30, 0x00]);
  assertEquals(readKeyPair(block("TRUSTED CERTIFICATE", trusted.toBase64()), key).cert, own);
});

Deno.test("readKeyPair() takes keys of every format and each kind that TLS can use", async () => {
  const kinds: Algorithm[] = [
    EC,
    { ...EC, namedCurve: "P-384" },
    { name: "Ed25519" },
    { ...RSA, modulusLength: 2048 },
  ];
  for (const kind of kinds) {
    const { own, middle, key } = await chain(kind);
    const pair = readKeyPair(middle + own, key);
    assertEquals(pair, { cert: own + middle, key });
    const { createPrivateKey } = await import("node:crypto");
    const type = kind.name === "ECDSA" ? "sec1" : kind.name.startsWith("RSA") ? "pkcs1" : "pkcs8";
    const old = createPrivateKey(key).export({ type, format: "pem" }) as string;
    assertEquals(readKeyPair(own + middle, old).key, old);
    await using _ = serve(
      { hostname: "127.0.0.1", port: 0, ...pair, onListen() {} },
      () => new Response(),
    );
  }
});

Deno.test("readKeyPair() says what is wrong", async () => {
  const { own, key } = await chain();
  assertEquals(problemOf("", key), ["noCertificate", ""]);
  assertEquals(problemOf("hello", key), ["noCertificate", ""]);
  assertEquals(problemOf(block("CERTIFICATE"), key), ["noCertificate", ""]);
  assertEquals(problemOf(block("CERTIFICATE", "!"), key), ["noCertificate", ""]);
  assertEquals(problemOf(own + block("CERTIFICATE"), key), ["noCertificate", ""]);
  assertEquals(problemOf(key, key), ["noCertificate", "PRIVATE KEY"]);
  assertEquals(
    problemOf(block("CERTIFICATE REQUEST") + block("PKCS7"), key),
    ["noCertificate", "CERTIFICATE REQUEST, PKCS7"],
  );
  assertEquals(problemOf(own, ""), ["noKey", ""]);
  assertEquals(problemOf(own, own), ["noKey", "CERTIFICATE"]);
  assertEquals(problemOf(own, block("PUBLIC KEY")), ["noKey", "PUBLIC KEY"]);
  assertEquals(problemOf(own, block("PRIVATE KEY")), ["noKey", ""]);
  assertEquals(problemOf(own, block("ENCRYPTED PRIVATE KEY")), ["encryptedKey", ""]);
  const old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\nMAA=";
  assertEquals(problemOf(own, block("RSA PRIVATE KEY", old)), ["encryptedKey", ""]);
  assertEquals(problemOf(own, (await chain()).key), ["otherKey", ""]);
});

Deno.test("readKeyPair() names a key that TLS cannot use", async () => {
  const { own, key } = await chain({ ...RSA, modulusLength: 1024 });
  assertEquals(problemOf(own, key), ["unsupportedKey", "RSA 1024"]);
  assertThrows(
    () => serve({ hostname: "127.0.0.1", port: 0, cert: own, key }, () => new Response()),
    Deno.errors.InvalidData,
    'Cannot use certificate and key: the key is "RSA 1024", must be RSA of 2048 bits or more',
  );
});

Deno.test("readCertificates() gives each certificate as PEM alone", async () => {
  const { root, middle, key } = await chain();
  assertEquals(readCertificates(`a\n${root}b\r\n${key}${middle}`), [root, middle]);
  assertEquals(new X509Certificate(readCertificates(root)[0]!).subject, "CN=root");
  assertThrows(() => readCertificates(""), KeyPairError, "no certificate in PEM");
});

Deno.test("hasKey() tells whether a text has a private key", async () => {
  const { own, key } = await chain();
  assertEquals([hasKey(own), hasKey(own + key)], [false, true]);
  assertEquals(hasKey(block("ENCRYPTED PRIVATE KEY")), true);
  const { publicKey } = generateKeyPairSync("ed25519");
  assertEquals(hasKey(publicKey.export({ type: "spki", format: "pem" }) as string), false);
});
