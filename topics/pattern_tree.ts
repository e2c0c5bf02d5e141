/**
 * Which patterns match a topic: a tree by tokens, so that a publication looks at few of many patterns.
 *
 * @module
 */

interface Node<T> {
  /** What was added under the pattern that ends here. */
  value: T | undefined;
  /** By the next token of the pattern, `*` and `>` among them; made when there is one. */
  next: Map<string, Node<T>> | undefined;
}

function emptyNode<T>(): Node<T> {
  return { value: undefined, next: undefined };
}

/** Values under patterns. */
export class PatternTree<T> {
  readonly #root: Node<T> = emptyNode();
  #size = 0;

  /** How many patterns there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds a value under a pattern that has none. */
  add(pattern: string, value: T): void {
    let node = this.#root;
    for (const token of pattern.split(".")) {
      node.next ??= new Map();
      let next = node.next.get(token);
      if (next === undefined) node.next.set(token, next = emptyNode());
      node = next;
    }
    node.value = value;
    this.#size++;
  }

  /** Removes what is under a pattern. */
  remove(pattern: string): void {
    if (this.#remove(this.#root, pattern.split("."), 0)) this.#size--;
  }

  #remove(node: Node<T>, tokens: string[], at: number): boolean {
    if (at === tokens.length) {
      const wasThere = node.value !== undefined;
      node.value = undefined;
      return wasThere;
    }
    const token = tokens[at]!;
    const next = node.next?.get(token);
    if (next === undefined || !this.#remove(next, tokens, at + 1)) return false;
    if (next.value === undefined && next.next === undefined) {
      node.next!.delete(token);
      if (node.next!.size === 0) node.next = undefined;
    }
    return true;
  }

  /** Calls `found` with the value of each pattern that matches a topic. */
  match(topic: string, found: (value: T) => void): void {
    if (this.#size > 0) this.#match(this.#root, topic.split("."), 0, found);
  }

  #match(node: Node<T>, tokens: string[], at: number, found: (value: T) => void): void {
    if (at === tokens.length) {
      if (node.value !== undefined) found(node.value);
      return;
    }
    const { next } = node;
    if (next === undefined) return;
    const rest = next.get(">");
    if (rest?.value !== undefined) found(rest.value);
    for (const token of [tokens[at]!, "*"]) {
      const child = next.get(token);
      if (child !== undefined) this.#match(child, tokens, at + 1, found);
    }
  }
}
