import { assertEquals, assertNotEquals, assertNotMatch } from "@std/assert";
import { agree, fill, languageOf, LANGUAGES, sentencesIn } from "../../cli/sentences.ts";

/** Every sentence in `sentences`, by its dotted name. */
function sentencesOf(sentences: object, prefix = ""): [name: string, sentence: string][] {
  return Object.entries(sentences).flatMap(([key, value]) =>
    typeof value === "string"
      ? [[prefix + key, value] as [string, string]]
      : sentencesOf(value, `${prefix}${key}.`)
  );
}

function placeholdersOf(sentence: string): string[] {
  return (sentence.match(/\{\w+\}/g) ?? []).sort();
}

Deno.test("sentencesIn() has the same sentences in both languages", () => {
  const [portuguese, english] = LANGUAGES.map((language) =>
    sentencesOf(sentencesIn(language)).map(([name]) => name).sort()
  );
  assertEquals(portuguese, english);
});

Deno.test("sentencesIn() fills the same placeholders in both languages", () => {
  const english = new Map(sentencesOf(sentencesIn("en")));
  for (const [name, sentence] of sentencesOf(sentencesIn("pt-BR"))) {
    assertEquals(placeholdersOf(sentence), placeholdersOf(english.get(name)!), name);
  }
});

Deno.test("sentencesIn() leaves no sentence untranslated or empty", () => {
  const english = new Map(sentencesOf(sentencesIn("en")));
  for (const [name, sentence] of sentencesOf(sentencesIn("pt-BR"))) {
    assertNotEquals(sentence.trim(), "", name);
    assertNotEquals(sentence, english.get(name), name);
  }
});

Deno.test("sentencesIn() keeps every sentence but the usage on one line", () => {
  for (const language of LANGUAGES) {
    for (const [name, sentence] of sentencesOf(sentencesIn(language))) {
      if (!name.endsWith(".usage")) assertEquals(sentence.split("\n").length, 1, name);
    }
  }
});

Deno.test("sentencesIn() says in Portuguese what the demo says", () => {
  const { server, client } = sentencesIn("pt-BR");
  assertEquals(
    fill(server.listening, { port: 8443 }),
    "Servidor WebSocket rodando na porta 8443...",
  );
  assertEquals(server.handshake, "Handshake recebido");
  assertEquals(server.open, "Conexão WebSocket estabelecida!");
  assertEquals(server.received, "Mensagem recebida do cliente: {data}");
  assertEquals(server.sent, "Mensagem enviada de volta para o cliente: {data}");
  assertEquals(server.closed, "Conexão WebSocket encerrada!");
  assertEquals(server.upgradeFailed, "Erro ao fazer upgrade para WebSocket: {reason}");
  assertEquals(server.readFailed, "Erro ao ler mensagem: {reason}");
  assertEquals(server.sendFailed, "Erro ao enviar mensagem: {reason}");
  assertEquals(server.startFailed, "Erro ao iniciar o servidor: {reason}");
  assertEquals(client.connecting, "Conectando a {url}");
  assertEquals(client.sent, "Mensagem enviada para o servidor: {data}");
  assertEquals(client.received, "Mensagem recebida do servidor: {data}");
  assertEquals(client.closed, "Conexão WebSocket encerrada!");
  assertEquals(client.connectFailed, "Erro ao conectar ao WebSocket: {reason}");
  assertEquals(client.readFailed, "Erro ao ler mensagem: {reason}");
  assertEquals(client.sendFailed, "Erro ao enviar mensagem: {reason}");
});

Deno.test("languageOf() takes the last --lang, else the environment, else Portuguese", () => {
  assertEquals(languageOf([], undefined), "pt-BR");
  assertEquals(languageOf([], "en"), "en");
  assertEquals(languageOf(["--lang=en"], undefined), "en");
  assertEquals(languageOf(["--lang", "en"], undefined), "en");
  assertEquals(languageOf(["--lang=pt-BR"], "en"), "pt-BR");
  assertEquals(languageOf(["--lang=en", "--lang=pt-BR"], undefined), "pt-BR");
  assertEquals(languageOf(["--bogus", "--lang=en"], undefined), "en");
});

Deno.test("languageOf() gives Portuguese for an unknown language, in which it is refused", () => {
  assertEquals(languageOf(["--lang=fr"], "en"), "pt-BR");
  assertEquals(languageOf(["--lang"], "en"), "pt-BR");
  assertEquals(languageOf([], "fr"), "pt-BR");
});

Deno.test("fill() fills each placeholder once, and leaves unknown ones", () => {
  assertEquals(fill("{a} e {b} e {a}", { a: 1, b: "x" }), "1 e x e 1");
  assertEquals(fill("{a} {c}", { a: "{b}", b: "no" }), "{b} {c}");
  assertEquals(fill("{a}", { a: "$& $1" }), "$& $1");
});

Deno.test("fill() chooses the form that agrees with a number", () => {
  const sentence = "{n} {n|message|messages}";
  const filled = [0, 1, 2].map((n) => fill(sentence, { n }));
  assertEquals(filled, ["0 messages", "1 message", "2 messages"]);
  assertEquals(agree("{n}{n|| more}", { n: 1 }), "{n}");
});

Deno.test("sentencesIn() has a form for one of what it counts", () => {
  const one = Object.fromEntries(
    ["answered", "connections", "count", "max", "messages", "opened", "payloadLength", "received"]
      .concat(["receivedBytes", "sent", "sentBytes", "unanswered", "unsent", "wireLength"])
      .map((name) => [name, 1]),
  );
  const plural =
    /\{\w+\} (?:não )?(?:messages|mensagens|bytes|errors|erros|\w+das)\b|de \{\w+\} \w+s\b/;
  for (const language of LANGUAGES) {
    const { server, client, failure } = sentencesIn(language);
    for (const [name, sentence] of sentencesOf({ server, client, failure })) {
      if (name !== "failure.manyRedirects") assertNotMatch(agree(sentence, one), plural, name);
    }
  }
});
