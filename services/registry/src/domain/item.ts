import { createHash } from "node:crypto";
import type { Parsed } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";
import { canonicalHash } from "./canonical-hash.ts";

export const KINDS = ["tool", "prompt", "resource", "resource_template"] as const;
export type Kind = (typeof KINDS)[number];

export const ITEM_MAX_BYTES = 256 * 1024;
const KEY_SHOWN_MAX_CHARS = 200;

interface Form {
  readonly noun: string;
  /** The field whose value no two items of a server share. */
  readonly field: string;
  readonly keyMaxChars: number;
  readonly countMax: number;
}

export const FORMS: Readonly<Record<Kind, Form>> = {
  tool: { noun: "tool", field: "name", keyMaxChars: 128, countMax: 2_000 },
  prompt: { noun: "prompt", field: "name", keyMaxChars: 256, countMax: 2_000 },
  resource: { noun: "resource", field: "uri", keyMaxChars: 8_192, countMax: 10_000 },
  resource_template: { noun: "resource template", field: "uriTemplate", keyMaxChars: 8_192, countMax: 2_000 },
};

/** One thing that a server offers. */
export interface Item {
  readonly kind: Kind;
  readonly key: string;
  /** The server's own JSON, unchanged. */
  readonly definition: string;
  /** SHA-256 of the definition, hex. */
  readonly hash: string;
  /** Of a tool: of its canonical JSON; else empty. */
  readonly canonicalHash: string;
  /** Of a tool: declared read-only or idempotent. */
  readonly retrySafe: boolean;
}

/** Parses what a server listed. One bad item refuses the whole list, and the reason says which one. */
export function parseItems(kind: Kind, definitions: readonly string[]): Parsed<readonly Item[]> {
  const { noun, field, countMax } = FORMS[kind];
  if (definitions.length > countMax) return refuse(`${definitions.length} ${noun}s; at most ${countMax} are allowed`);
  const items = new Map<string, Item>();
  for (const [index, definition] of definitions.entries()) {
    const item = parseItem(kind, definition);
    if (!item.ok) return refuse(`${noun} ${index + 1}${item.reason}`);
    const { key } = item.value;
    if (items.has(key)) return refuse(`${noun} ${index + 1}: another ${noun} has the ${field} ${show(key)} too`);
    items.set(key, item.value);
  }
  return { ok: true, value: [...items.values()] };
}

/** A reason continues the sentence "tool 3". */
function parseItem(kind: Kind, definition: string): Parsed<Item> {
  const { field, keyMaxChars } = FORMS[kind];
  const bytes = Buffer.byteLength(definition);
  if (bytes > ITEM_MAX_BYTES)
    return refuse(`: its definition has ${bytes} bytes; at most ${ITEM_MAX_BYTES} are allowed`);
  let item: unknown;
  try {
    item = parseJson(definition);
  } catch {
    return refuse(": its definition is not JSON");
  }
  if (!isObject(item)) return refuse(": its definition is not a JSON object");
  const key = item[field];
  if (!isKey(key, keyMaxChars)) {
    return refuse(`: its ${field} is not a string of 1 to ${keyMaxChars} characters without control characters`);
  }
  if (kind === "tool" && !isObject(item["inputSchema"]))
    return refuse(` (${show(key)}): its inputSchema is not an object`);
  const hash = createHash("sha256").update(definition).digest("hex");
  const about = { kind, key, definition, hash };
  if (kind !== "tool") return { ok: true, value: { ...about, canonicalHash: "", retrySafe: false } };
  return { ok: true, value: { ...about, canonicalHash: canonicalHash(definition), retrySafe: isRetrySafe(item) } };
}

function isRetrySafe({ annotations }: Record<string, unknown>): boolean {
  return isObject(annotations) && (annotations["readOnlyHint"] === true || annotations["idempotentHint"] === true);
}

/** The database cannot hold a NUL, and a lone surrogate would not come back as it went in. */
function isKey(key: unknown, maxChars: number): key is string {
  if (typeof key !== "string" || key === "" || key.length > maxChars) return false;
  return key.isWellFormed() && !/\p{Cc}/u.test(key);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(key: string): string {
  return `"${key.slice(0, KEY_SHOWN_MAX_CHARS)}"`;
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
