import { hash } from "node:crypto";

/** SHA-256, in bytes: leaves of a tree are passed as one buffer of so many each. */
export const HASH_BYTES = 32;
/** A tree over all numbers that fit would not be deeper. */
const PATH_MAX = 64;

/** The root of RFC 6962's tree (section 2.1) over at least one leaf. */
export function merkleRoot(leaves: Uint8Array): Buffer {
  let level: Buffer = Buffer.from(leaves);
  while (level.length > HASH_BYTES) level = levelAbove(level);
  return level;
}

/**
 * What turns a leaf into the root: its neighbours from the bottom to the top (RFC 6962, section 2.1.1).
 * @param index from 0
 */
export function inclusionPath(leaves: Uint8Array, index: number): Buffer[] {
  const path: Buffer[] = [];
  let level: Buffer = Buffer.from(leaves);
  for (let at = index; level.length > HASH_BYTES; at >>= 1) {
    const neighbour = hashAt(level, at ^ 1);
    // The last of an odd level goes up as it is.
    if (neighbour.length > 0) path.push(Buffer.from(neighbour));
    level = levelAbove(level);
  }
  return path;
}

/** The root that a leaf at this index of a tree of `size` leaves has by this path; undefined where the path does not fit. */
export function rootOfPath(options: {
  leaf: Uint8Array;
  index: number;
  size: number;
  path: readonly Uint8Array[];
}): Buffer | undefined {
  const { leaf, index, size, path } = options;
  if (index < 0 || index >= size || path.length > PATH_MAX) return undefined;
  let root: Buffer = Buffer.from(leaf);
  let used = 0;
  for (let at = index, width = size; width > 1; at = Math.floor(at / 2), width = Math.ceil(width / 2)) {
    const isLeft = at % 2 === 0;
    if (isLeft && at + 1 === width) continue;
    const neighbour = path[used++];
    if (neighbour?.length !== HASH_BYTES) return undefined;
    root = isLeft ? nodeHash(root, neighbour) : nodeHash(neighbour, root);
  }
  return used === path.length ? root : undefined;
}

function levelAbove(level: Buffer): Buffer {
  const width = level.length / HASH_BYTES;
  const above = Buffer.allocUnsafe(Math.ceil(width / 2) * HASH_BYTES);
  for (let at = 0; at < width; at += 2) {
    const left = hashAt(level, at);
    const right = hashAt(level, at + 1);
    above.set(right.length === 0 ? left : nodeHash(left, right), (at / 2) * HASH_BYTES);
  }
  return above;
}

function hashAt(level: Buffer, at: number): Buffer {
  return level.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
}

/** SHA-256(0x01 ‖ left ‖ right). */
function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return hash("sha256", node, "buffer");
}

/** The same bytes each time: a segment has thousands of nodes. Only hashes are put there, so nothing of the last one stays. */
const node = Buffer.alloc(1 + 2 * HASH_BYTES, 1);
