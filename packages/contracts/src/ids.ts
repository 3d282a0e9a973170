import { randomFillSync } from "node:crypto";

const POOL_BYTES = 16 * 256;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;
let lastMs = 0;
let sequence = 0;

/**
 * A new call id: UUIDv7 (RFC 9562, section 5.7, method 1). Its first 48 bits are `nowMs` in Unix milliseconds and the
 * 12 bits after the version count up within one millisecond, so ids made by one process sort in the order of making.
 */
export function newCallId(nowMs: number): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.toString("hex", used, used + 8);
  used += 8;
  if (nowMs > lastMs) {
    lastMs = nowMs;
    sequence = 0;
  } else if (++sequence > 0xfff) {
    lastMs += 1;
    sequence = 0;
  }
  const time = lastMs.toString(16).padStart(12, "0");
  const variant = ((Number.parseInt(random[0]!, 16) & 0x3) | 0x8).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${sequence.toString(16).padStart(3, "0")}-${variant}${random.slice(1, 4)}-${random.slice(4, 16)}`;
}

/** The Unix milliseconds in a call id. Rows are partitioned by it, so a repeated outcome always meets the same key. */
export function timeOfId(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function isCallId(value: unknown): value is string {
  return typeof value === "string" && UUID.test(value);
}
