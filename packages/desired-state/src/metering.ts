import { z } from "zod";
import { number } from "./scalars.ts";

/** Far more than the stream keeps: a call that is read from it once more is still known. */
const DAYS_MIN = 31;
/** A hundred years: more than that is a slip. */
const DAYS_MAX = 36_525;
/** A year, and a month to look at it. */
const DAYS_DEFAULT = 400;

export const meteringSchema = z.strictObject({
  retention_days: number(z.number().int().min(DAYS_MIN).max(DAYS_MAX)).default(DAYS_DEFAULT),
});

/** What becomes of usage. */
export interface DesiredMetering {
  /** How long single calls are kept; sums of days are kept for good. */
  readonly retentionDays: number;
}

export const METERING_KEYS = { metering: Object.keys(meteringSchema.shape) };

export function toMetering({ retention_days }: z.infer<typeof meteringSchema>): DesiredMetering {
  return { retentionDays: retention_days };
}
