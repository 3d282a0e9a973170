import type { Parsed } from "@tollgate/contracts";

export const KEY_BYTES = 32;
const KEYS_MAX = 100;
const KEY_ID = /^[A-Za-z0-9_-]{1,32}$/;

/**
 * Keys by their ids; the first one is used for what is new, all of them for what is there.
 * @param text `<id>:<base64url of 32 bytes>`, several separated by commas. The reason never repeats a key.
 */
export function parseKeyList(text: string): Parsed<ReadonlyMap<string, Buffer>> {
  const words = text.split(",");
  if (words.length > KEYS_MAX) return { ok: false, reason: `more than ${KEYS_MAX} keys` };
  const byId = new Map<string, Buffer>();
  for (const [at, word] of words.entries()) {
    const [id = "", secret = "", ...more] = word.trim().split(":");
    const bytes = Buffer.from(secret, "base64url");
    if (!KEY_ID.test(id) || more.length > 0 || bytes.length !== KEY_BYTES || bytes.toString("base64url") !== secret)
      return { ok: false, reason: `key ${at + 1} is not <id>:<base64url of ${KEY_BYTES} bytes>` };
    if (byId.has(id)) return { ok: false, reason: `key ${at + 1} has the id of a key before it` };
    byId.set(id, bytes);
  }
  return { ok: true, value: byId };
}
