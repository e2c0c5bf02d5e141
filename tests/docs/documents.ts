/**
 * The documents, and the code in them: fenced blocks, and commands between backquotes in the text.
 *
 * @module
 */

import { projectPath } from "../programs.ts";

/** A block or a command of a document. */
export interface Code {
  /** The document's path in the project. */
  document: string;
  /** The line it begins in, from 1. */
  line: number;
  /** The nearest heading above. */
  section: string;
  /** The word behind the fence; `inline` for a command in the text. */
  language: string;
  text: string;
  /** A block whose output this is: no more than text is between them. */
  outputOf?: Code;
}

/** The documents a user or a contributor reads; those in `docs/` are found, so that a new one is not forgotten. */
export async function documents(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(projectPath("docs"))) {
    if (name.endsWith(".md")) found.push(`docs/${name}`);
  }
  return [
    ...["README.md", "README.pt-BR.md", "CONTRIBUTING.md", "SECURITY.md"],
    ...found.sort(),
    ...["bench/README.md", "bench/PROFILES.md"],
  ];
}

/** Where a block is, as an editor opens it. */
export function placeOf({ document, line }: Code): string {
  return `${document}:${line}`;
}

/** All code of a document. */
export async function codeOf(document: string): Promise<Code[]> {
  return codeIn(document, await Deno.readTextFile(projectPath(document)));
}

/** Between backquotes, a command: the name of a program, and more behind it. */
const COMMAND =
  /^(?:[A-Z]\w*=\S+ )*(?:npx|npm|deno(?= [a-z])|wss-client|wss-server|curl|openssl|testssl|docker|kubectl|systemctl|journalctl) ./;

/** All code in a document's text. */
export function codeIn(document: string, text: string): Code[] {
  const code: Code[] = [];
  let section = "";
  /** The fence that ends the block, and the block. */
  let open: { fence: string; block: Code; indent: number } | undefined;
  let paragraph: { line: number; text: string } = { line: 1, text: "" };
  let latest: Code | undefined;
  const endParagraph = () => {
    for (const { index, 1: inline } of paragraph.text.matchAll(/`([^`]+)`/g)) {
      const command = inline!.replaceAll(/\s+/g, " ").replaceAll("\\|", "|");
      const line = paragraph.line + paragraph.text.slice(0, index).split("\n").length - 1;
      if (COMMAND.test(command)) {
        code.push({ document, line, section, language: "inline", text: command });
      }
    }
    paragraph = { line: 0, text: "" };
  };
  for (const [at, whole] of text.split("\n").entries()) {
    const line = at + 1;
    const [, indent, fence, info] = /^( *)(`{3,})(.*)$/.exec(whole) ?? [];
    if (open !== undefined) {
      if (fence === open.fence && info === "") {
        code.push(latest = open.block);
        open = undefined;
      } else {
        open.block.text += `${whole.slice(open.indent)}\n`;
      }
    } else if (fence !== undefined) {
      endParagraph();
      const block: Code = { document, line, section, language: info!, text: "" };
      const isOutput = /^(?:text|console)?$/.test(info!);
      if (isOutput && latest?.language === "sh") block.outputOf = latest;
      latest = undefined;
      open = { fence, block, indent: indent!.length };
    } else {
      const heading = /^#+ (.*)$/.exec(whole)?.[1];
      if (heading !== undefined || whole === "" || whole.startsWith("|")) endParagraph();
      if (heading !== undefined) [section, latest] = [heading, undefined];
      if (paragraph.text === "") paragraph.line = line;
      paragraph.text += `${whole}\n`;
      if (whole.startsWith("|")) endParagraph();
    }
  }
  endParagraph();
  if (open !== undefined) throw new Error(`${placeOf(open.block)} is a block without an end`);
  return code;
}
