import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { PatternTree } from "../../topics/pattern_tree.ts";
import { isPattern } from "../../topics/topic.ts";

function matches(tree: PatternTree<string>, topic: string): string[] {
  const found: string[] = [];
  tree.match(topic, (pattern) => found.push(pattern));
  return found.sort();
}

Deno.test("PatternTree finds the patterns of a topic", () => {
  const tree = new PatternTree<string>();
  for (const pattern of ["*", ">", "a.*", "a.>", "a.*.c", "*.b"]) tree.add(pattern, pattern);
  assertEquals(matches(tree, "a"), ["*", ">"]);
  assertEquals(matches(tree, "a.b"), ["*.b", ">", "a.*", "a.>"]);
  assertEquals(matches(tree, "a.b.c"), [">", "a.*.c", "a.>"]);
  assertEquals(matches(tree, "b.c"), [">"]);
  tree.remove("a.>");
  tree.remove("a.>");
  tree.remove("never");
  assertEquals(matches(tree, "a.b.c"), [">", "a.*.c"]);
  assertEquals(tree.size, 5);
});

/** The rule of patterns, one token after the other. */
function matchesRule([first, ...pattern]: string[], [token, ...topic]: string[]): boolean {
  if (first === undefined) return token === undefined;
  if (token === undefined) return false;
  if (first === ">") return true;
  return (first === "*" || first === token) && matchesRule(pattern, topic);
}

Deno.test("PatternTree finds what the rule says, after any additions and removals", () => {
  const token = fc.constantFrom("a", "b");
  const pattern = fc.array(fc.oneof(token, fc.constantFrom("*", ">")), {
    minLength: 1,
    maxLength: 4,
  })
    .map((tokens) => tokens.join(".")).filter(isPattern);
  const topic = fc.array(token, { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), pattern)), topic, (steps, topic) => {
    const tree = new PatternTree<string>();
    const there = new Set<string>();
    for (const [adds, pattern] of steps) {
      if (adds && !there.has(pattern)) tree.add(pattern, pattern);
      else if (!adds) tree.remove(pattern);
      if (adds) there.add(pattern);
      else there.delete(pattern);
    }
    assertEquals(tree.size, there.size);
    const expected = [...there].filter((pattern) => matchesRule(pattern.split("."), topic)).sort();
    assertEquals(matches(tree, topic.join(".")), expected);
  }));
});
