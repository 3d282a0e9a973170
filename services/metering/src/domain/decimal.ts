/**
 * Money is counted in whole nano-units (10⁻⁹ of the currency) as BigInt. Floating point numbers never hold it.
 */
export type Nano = bigint;

const NANO_DIGITS = 9;
const DECIMAL = /^(\d{1,11})(?:\.(\d{1,9}))?$/;

/** "0.00005" as nano-units. @throws {RangeError} when it is negative, no plain decimal or finer than a nano-unit */
export function parseNano(decimal: string): Nano {
  const match = DECIMAL.exec(decimal);
  if (match === null) throw new RangeError(`${JSON.stringify(decimal)} is not a decimal with at most nine places`);
  return nanoOf(match[1]!, match[2]);
}

/** The same of a sum, which may be longer. @throws {RangeError} */
export function parseNanoSum(decimal: string): Nano {
  const match = /^(\d+)(?:\.(\d{1,9}))?$/.exec(decimal);
  if (match === null) throw new RangeError(`${JSON.stringify(decimal)} is not a sum of costs`);
  return nanoOf(match[1]!, match[2]);
}

function nanoOf(whole: string, fraction = ""): Nano {
  return BigInt(whole + fraction.padEnd(NANO_DIGITS, "0"));
}

/** Nano-units as a plain decimal, without exponent and without trailing zeros: "0.0001". */
export function formatNano(nano: Nano): string {
  const digits = nano.toString().padStart(NANO_DIGITS + 1, "0");
  const fraction = digits.slice(-NANO_DIGITS).replace(/0+$/, "");
  const whole = digits.slice(0, -NANO_DIGITS);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}
