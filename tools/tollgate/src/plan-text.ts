import { jsonDifferences } from "./json-difference.ts";
import type { Row } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { onOneLine } from "./terminal-text.ts";

/** As the API has it; `before` and `after` are entries of tollgate.yaml, null where there is none. */
export interface Change {
  readonly kind: string;
  readonly id: string;
  readonly change: "create" | "update" | "delete";
  readonly before: Row | null;
  readonly after: Row | null;
  readonly note?: string;
}

export interface Plan extends Row {
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
}

const SIGNS = { create: "+", update: "~", delete: "-" } as const;
const VALUE_MAX_CHARS = 100;

/** Like a difference: what comes, what goes, and which keys are others. Ends with how many there are. */
export function planText({ changes }: Plan, { toned }: Pick<Terminal, "toned">): string {
  const blocks = changes.map((each) => {
    const sign = SIGNS[each.change];
    const note = each.note === undefined || each.note === "" ? "" : `  (${onOneLine(each.note)})`;
    return [toned(`${sign} ${each.kind} ${each.id}`, sign) + note, ...keysOf(each)].join("\n");
  });
  const count = (change: Change["change"]) => changes.filter((each) => each.change === change).length;
  const sums = `${count("create")} to create, ${count("update")} to update, ${count("delete")} to delete`;
  return [...blocks, changes.length === 0 ? "Nothing would change." : sums].join("\n");
}

function keysOf({ before, after, change }: Change): string[] {
  if (change === "delete") return [];
  const from = change === "create" ? {} : (before ?? {});
  return jsonDifferences(from, after ?? {}, ["id"]).map(({ path, before: was, after: is }) => {
    if (was === undefined) return `    + ${path}: ${shown(is)}`;
    return is === undefined ? `    - ${path}: ${shown(was)}` : `    ~ ${path}: ${shown(was)} → ${shown(is)}`;
  });
}

function shown(json = ""): string {
  const text = onOneLine(json);
  return text.length > VALUE_MAX_CHARS ? `${text.slice(0, VALUE_MAX_CHARS)}…` : text;
}
