import { parseJson } from "@tollgate/mcp";

/**
 * A JSON text as a tree in which numbers keep their spelling and members their order: two texts with equal trees differ
 * in blanks and in how characters are escaped, and in nothing else.
 */
export function lossless(text: string): any {
  return parseJson(text, (spelled) => ({ spelled }));
}

/** Equal in order, too. */
export function treeText(tree: unknown): string {
  return JSON.stringify(tree);
}
