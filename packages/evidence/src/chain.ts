import { createHash, hash } from "node:crypto";

/**
 * Events of one tenant and kind, in the order of the stream, numbered from 1. Each number's hash is made from the hash
 * before it and the event's own, so that nothing can be changed, taken out, put in or moved without a break.
 */
export interface Chain {
  readonly tenant: string;
  readonly kind: string;
}

/** A checkpoint covers at most so many events: an inclusion proof reads them all. */
export const CHECKPOINT_EVENTS_MAX = 4_096;

export function chainName({ tenant, kind }: Chain): string {
  return `${tenant}/${kind}`;
}

/** The hash before the first event: chains of two tenants differ from the beginning. */
export function genesisHash(chain: Chain): Buffer {
  return createHash("sha256")
    .update(`tollgate audit chain v1\n${chainName(chain)}\n`)
    .digest();
}

/** SHA-256(0x00 ‖ line): a leaf of RFC 6962 (section 2.1). @param line the event as it is on the stream */
export function leafHash(line: string): Buffer {
  // One call: at 20,000 events a second a hash object for each would be what recording costs most.
  return hash("sha256", `${LEAF}${line}`, "buffer");
}

/** SHA-256(0x02 ‖ hash before ‖ leaf). */
export function nextHash(before: Uint8Array, leaf: Uint8Array): Buffer {
  return hash("sha256", Buffer.concat([LINK, before, leaf]), "buffer");
}

const LEAF = "\0";
/** 0x01 is RFC 6962's for nodes of a tree. */
const LINK = Buffer.of(2);
