import { createHash } from "node:crypto";
import { parseJson } from "@tollgate/mcp";
import canonicalize from "canonicalize";

/**
 * SHA-256, hex, of the canonical JSON (RFC 8785): the order of keys, spaces and spellings of the same number or character
 * make no difference.
 */
export function canonicalHash(json: string): string {
  let canonical: string | undefined;
  try {
    canonical = canonicalize(parseJson(json));
  } catch {
    // Lone surrogates and numbers beyond doubles have no canonical form: such a text is the same only as it is written.
  }
  return createHash("sha256")
    .update(canonical ?? `as written:${json}`)
    .digest("hex");
}
