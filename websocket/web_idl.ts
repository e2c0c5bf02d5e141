/**
 * Conversions and properties as Web IDL asks for them, where JavaScript's own differ.
 *
 * @module
 */

/** A `USVString`: half surrogate pairs are replaced. A symbol is refused, unlike by `String()`. */
export function usvString(value: unknown): string {
  return `${value}`.toWellFormed();
}

/** A `[Clamp] unsigned short`: the nearest number from 0 to 65535, of two the even one; 0 for none. */
export function clampedShort(value: unknown): number {
  // Unlike Number(), this refuses a BigInt.
  const number = +(value as number);
  if (Number.isNaN(number)) return 0;
  const bounded = Math.min(Math.max(number, 0), 65535);
  const below = Math.floor(bounded);
  const rest = bounded - below;
  return rest > 0.5 || rest === 0.5 && below % 2 === 1 ? below + 1 : below;
}

/** Whether a value is an object or a function. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" ? value !== null : typeof value === "function";
}

/** Whether a value is an object that says how it is iterated: a string is none. */
export function isSequence(value: unknown): value is Iterable<unknown> {
  return isObject(value) && ((value as Iterable<unknown>)[Symbol.iterator] ?? null) !== null;
}

/** Makes all members of a class's instances enumerable, as those of an interface are. */
export function makeEnumerable(prototype: object): void {
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (name !== "constructor") Object.defineProperty(prototype, name, { enumerable: true });
  }
}

/** Defines a constant of an interface, on its constructor and its prototype. */
export function defineConstant(type: { prototype: object }, name: string, value: number): void {
  const constant = { value, enumerable: true, writable: false, configurable: false };
  Object.defineProperty(type, name, constant);
  Object.defineProperty(type.prototype, name, constant);
}

type Inspect = (value: unknown, options?: unknown) => string;

/**
 * Sets what `console.log` shows of a class's instances.
 *
 * @param show The properties to be shown of an instance; of the prototype, which is none, `undefined`.
 */
export function defineInspection<T extends object>(
  prototype: T,
  show: (instance: T) => object | undefined,
): void {
  const shown = (instance: T, inspect: Inspect, options: unknown) =>
    `${instance.constructor.name} ${inspect(show(instance) ?? {}, options)}`;
  const methods: Record<string, unknown> = {
    "Deno.customInspect"(this: T, inspect: Inspect, options: unknown) {
      return shown(this, inspect, options);
    },
    "nodejs.util.inspect.custom"(this: T, _depth: number, options: unknown, inspect: Inspect) {
      return shown(this, inspect, options);
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, Symbol.for(name), {
      value,
      enumerable: false,
      writable: true,
      configurable: true,
    });
  }
}
