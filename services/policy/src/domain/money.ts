const DECIMALS = 9;
const NANO = 10n ** BigInt(DECIMALS);
const DECIMAL = /^(\d{1,30})(?:\.(\d{1,9}))?$/;

/** A decimal number in billionths. @throws {TypeError} when it is none of at most nine decimals */
export function nanoOf(text: string): bigint {
  const [, whole, fraction = ""] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) throw new TypeError("an amount is not a decimal number of at most nine decimals");
  return BigInt(whole) * NANO + BigInt(fraction.padEnd(DECIMALS, "0"));
}

/** Two decimals at least. */
export function decimalOf(nano: bigint): string {
  const fraction = String(nano % NANO).padStart(DECIMALS, "0");
  return `${nano / NANO}.${fraction.replace(/0{1,7}$/, "")}`;
}
