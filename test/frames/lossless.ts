type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;
/** The types do not know yet that a reviver is told the source. */
const parse = JSON.parse as (text: string, reviver: Reviver) => any;

/**
 * A JSON text as a tree in which numbers keep their spelling and members their order: two texts with equal trees differ
 * in blanks and in how characters are escaped, and in nothing else.
 */
export function lossless(text: string): any {
  return parse(text, (_key, value, { source }) => (typeof value === "number" ? { spelled: source } : value));
}

/** Equal in order, too. */
export function treeText(tree: unknown): string {
  return JSON.stringify(tree);
}
