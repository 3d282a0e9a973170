import { createHash } from "node:crypto";
import { type ChangeEvent, INSTALLATION_TENANT } from "./administration-events.ts";
import { NAME_PATTERN } from "./events.ts";
import { newCallId } from "./ids.ts";

/** Both together stay well within what an event may have. */
const SIDE_MAX_BYTES = 16_384;
const NAME_MAX_CHARS = 500;

/** What has changed. `tenant` is empty, or no name, where it concerns the whole installation. */
export type Change = Omit<ChangeEvent, "v" | "kind" | "id" | "endedAt" | "truncated">;

/** A new event of it. `before` and `after` have to be without secrets; one that is too large becomes its SHA-256. */
export function changeEvent({ tenant, name, before, after, ...change }: Change, nowMs: number): ChangeEvent {
  const sides = { before: bounded(before), after: bounded(after) };
  return {
    v: 1,
    kind: "change",
    id: newCallId(nowMs),
    endedAt: nowMs,
    tenant: NAME_PATTERN.test(tenant) ? tenant : INSTALLATION_TENANT,
    name: name.slice(0, NAME_MAX_CHARS),
    ...change,
    ...(before === undefined ? {} : { before: sides.before.value }),
    ...(after === undefined ? {} : { after: sides.after.value }),
    ...(sides.before.isTruncated || sides.after.isTruncated ? { truncated: true } : {}),
  };
}

function bounded(value: unknown): { readonly value: unknown; readonly isTruncated: boolean } {
  const text = value === undefined ? "" : JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  if (bytes <= SIDE_MAX_BYTES) return { value, isTruncated: false };
  return { value: { sha256: createHash("sha256").update(text).digest("hex"), bytes }, isTruncated: true };
}
