/**
 * Hooks: functions in the options, by which a program watches what a socket does.
 *
 * @module
 */

/**
 * A hook as the library calls it. One that throws, or whose promise is rejected, is logged and not called
 * again; the connection goes on.
 *
 * @param name The option, for the error.
 * @returns Nothing if there is none.
 * @throws {TypeError} If it is no function.
 */
export function checkedHook<T>(
  name: string,
  hook: ((value: T) => unknown) | undefined,
): ((value: T) => void) | undefined {
  if (hook === undefined) return undefined;
  if (typeof hook !== "function") {
    throw new TypeError(`Cannot set up socket: ${name} is "${String(hook)}", must be a function`);
  }
  let hasFailed = false;
  const fail = (error: unknown) => {
    if (!hasFailed) console.error(error);
    hasFailed = true;
  };
  return (value) => {
    if (hasFailed) return;
    try {
      const result = hook(value);
      if (result instanceof Promise) result.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
}
