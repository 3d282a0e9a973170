/** Shorter values are everyday words and numbers: hiding them would garble a text and keep nothing secret. */
const SECRET_MIN_CHARS = 8;

/**
 * Takes out of what a server has written what it was given in its environment, which it may print: to standard error, or
 * in place of a message. It goes to the log, and with the reason of a failure to callers.
 */
export function hideValues(env: Readonly<Record<string, string>>): (text: string) => string {
  const values = Object.values(env)
    // One of several lines may come line by line.
    .flatMap((value) => [value, ...value.split("\n")])
    .filter((value) => value.length >= SECRET_MIN_CHARS)
    // The longest first: one may contain another.
    .toSorted((a, b) => b.length - a.length);
  return (text) => values.reduce((rest, value) => rest.replaceAll(value, "[secret]"), text);
}
