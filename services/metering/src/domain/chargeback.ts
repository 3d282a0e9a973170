import { AppError } from "@tollgate/errors";
import type { Nano } from "./decimal.ts";

const NANO_OF_CENT = 10_000_000n;
const MONTH_PATTERN = /^(\d{4})-(0[1-9]|1[0-2])$/;

/**
 * Amounts in cents that sum to the rounded sum of the costs: the method of largest remainders. Each is below or above its
 * cost by less than a cent; of equal remainders the first gets the cent. Who has cost nothing pays nothing.
 */
export function roundToCents(costs: readonly Nano[]): { amounts: bigint[]; total: bigint } {
  const total = (costs.reduce((sum, cost) => sum + cost, 0n) + NANO_OF_CENT / 2n) / NANO_OF_CENT;
  const amounts = costs.map((cost) => cost / NANO_OF_CENT);
  const missing = total - amounts.reduce((sum, amount) => sum + amount, 0n);
  const byRemainder = costs
    .map((cost, at) => ({ at, remainder: cost % NANO_OF_CENT }))
    .toSorted((a, b) => (a.remainder === b.remainder ? a.at - b.at : a.remainder > b.remainder ? -1 : 1));
  for (const { at } of byRemainder.slice(0, Number(missing))) amounts[at] = amounts[at]! + 1n;
  return { amounts, total };
}

/** "12.05" */
export function formatCents(cents: bigint): string {
  const digits = cents.toString().padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** A calendar month of UTC, from inclusive, to exclusive. @throws {AppError} invalid_argument */
export function monthRange(month: string): { fromMs: number; toMs: number } {
  const match = MONTH_PATTERN.exec(month);
  const year = Number(match?.[1] ?? 0);
  if (match === null || year < 1970) throw new AppError("invalid_argument", "month: has to be such as 2026-11");
  const at = Number(match[2]) - 1;
  return { fromMs: Date.UTC(year, at), toMs: Date.UTC(year, at + 1) };
}
