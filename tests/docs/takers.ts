/**
 * Which test runs which block and command of the documents.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { projectPath } from "../programs.ts";
import { type Code, codeOf, documents, placeOf } from "./documents.ts";

/** Each test, and what it takes; what two would take is a fault of this table. */
const TAKERS: Record<string, (code: Code) => boolean> = {
  "tests/docs/coming_from_test.ts": (code) =>
    code.document === "docs/coming-from.md" && /^(ts|js ignore)$/.test(code.language) &&
    !isOfSocketIo(code),
  "tests/interop/frameworks/coming_from_test.ts": isOfSocketIo,
  "tests/docs/commands_test.ts": ({ language, text, outputOf }) =>
    language === "inline" || language === "sh" || text.startsWith("$ ") || outputOf !== undefined,
  "tests/docs/programs_test.ts": ({ document, language }) =>
    language === "ts" && !/^docs\/(coming-from|frameworks)\.md$/.test(document),
  "tests/docs/deploy_test.ts": ({ document, language }) =>
    document === "docs/deploy.md" &&
    /^(ini|ini sysusers|dockerfile|dockerignore|yaml|nginx|nginx stream|haproxy|haproxy tcp|caddyfile)$/
      .test(language),
  "tests/interop/frameworks/docs_test.ts": ({ document, language }) =>
    document === "docs/frameworks.md" && language === "ts",
  "tests/docs/troubleshooting_test.ts": ({ document, language }) =>
    document === "docs/troubleshooting.md" && language === "text",
  // The drawings of design.md, which names files in them.
  "tests/docs_test.ts": ({ document, language }) =>
    document === "docs/design.md" && language === "text",
};

/** The program with socket.io, which is among the packages of the tests of frameworks. */
function isOfSocketIo({ document, language, text }: Code): boolean {
  return document === "docs/coming-from.md" && language === "js ignore" && text.includes("io.on");
}

/** What a test takes, of all documents. */
export async function takenBy(test: string): Promise<Code[]> {
  const takes = TAKERS[test]!;
  return (await all()).filter(takes);
}

/** All code of all documents. */
async function all(): Promise<Code[]> {
  return (await Promise.all((await documents()).map(codeOf))).flat();
}

/** What no test or more than one takes, each with a sentence. */
export async function misfits(): Promise<string[]> {
  return (await all()).flatMap((code) => {
    const tests = Object.keys(TAKERS).filter((test) => TAKERS[test]!(code));
    if (tests.length === 1) return [];
    const by = tests.length === 0 ? "no test" : tests.join(" and ");
    return [`${placeOf(code)} is run by ${by}: ${code.text.split("\n")[0]}`];
  });
}

/** Tests that take something and are not there, or are there and take nothing. */
export async function idle(): Promise<string[]> {
  const code = await all();
  const wrong = Object.entries(TAKERS).filter(([test, takes]) =>
    existsSync(projectPath(test)) !== code.some(takes)
  );
  return wrong.map(([test]) => test);
}
