import { createHmac, hash } from "node:crypto";

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;
/** Of what is hashed without a stream. */
const SHORT_MAX_BYTES = 16 * 1024;
const UTF8_BYTES_PER_UNIT_MAX = 3;

/**
 * HMAC-SHA256 (RFC 2104) as hexadecimal. There are two for each call, most of them of a few hundred bytes, for which
 * node's `createHmac` takes fifteen times as long as the hashing itself.
 * @param key at most 64 bytes
 */
export function createShortHmac(key: Uint8Array): (text: string) => string {
  const inner = Buffer.alloc(BLOCK_BYTES + SHORT_MAX_BYTES);
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    inner[at] = (key[at] ?? 0) ^ INNER_PAD;
    outer[at] = (key[at] ?? 0) ^ OUTER_PAD;
  }
  return (text) => {
    if (text.length * UTF8_BYTES_PER_UNIT_MAX > SHORT_MAX_BYTES)
      return createHmac("sha256", key).update(text).digest("hex");
    const length = inner.write(text, BLOCK_BYTES);
    outer.write(hash("sha256", inner.subarray(0, BLOCK_BYTES + length), "hex"), BLOCK_BYTES, "hex");
    return hash("sha256", outer, "hex");
  };
}
