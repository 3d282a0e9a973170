import { NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import type { Mistake } from "./document.ts";
import { parseResource } from "./policy-form.ts";

const NAME_MAX_CHARS = 200;
const DESCRIPTION_MAX_CHARS = 1_000;
const LIST_MAX = 256;
const REPOSITORY_MAX_CHARS = 300;
/** A host and at least one part of a path, without scheme, user and `.git`, as the bridge writes it; `*` in any of them. */
const REPOSITORY = /^[A-Za-z0-9*._-]+(?::\d{1,5})?(?:\/[\w.*~+-]+)+$/;

const tools = z.string().superRefine((text, context) => {
  const resource = parseResource(text);
  if (!resource.ok) context.addIssue(resource.reason);
  else if (resource.value.kind === "any") context.addIssue('has to be SERVER:TOOL or group:ID; everything is "*:*"');
});
const repository = z
  .string()
  .max(REPOSITORY_MAX_CHARS)
  .regex(REPOSITORY, "has to be a host and a path, for example github.com/acme/*")
  .refine((text) => !text.endsWith(".git"), "must not end with .git");

export const toolSetSchema = z.strictObject({
  id: z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -"),
  name: z.string().min(1, "is empty").max(NAME_MAX_CHARS).optional(),
  description: z.string().max(DESCRIPTION_MAX_CHARS).default(""),
  tools: z.array(tools).min(1, "is empty").max(LIST_MAX),
  repositories: z.array(repository).max(LIST_MAX).default([]),
});

export const TOOL_SET_KEYS = { tool_sets: Object.keys(toolSetSchema.shape) };

/** Some of the catalogue's tools, for a project. */
export interface DesiredToolSet {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** SERVER:TOOL with `*` in both, or group:ID. */
  readonly tools: readonly string[];
  /** Projects that get it by themselves, such as `github.com/acme/*`. */
  readonly repositories: readonly string[];
}

export function toToolSets(sets: readonly z.infer<typeof toolSetSchema>[]): DesiredToolSet[] {
  return sets.map((set) => ({ ...set, name: set.name ?? set.id }));
}

interface Unchecked {
  readonly id?: unknown;
  readonly tools?: unknown;
  readonly connectors?: unknown;
}

/** Groups and servers that sets name and that are not there. Works on values that are not checked yet. */
export function findToolSetMistakes(values: unknown): Mistake[] {
  const groups = listOf(values, "groups");
  const servers = [...listOf(values, "mcp_servers"), ...groups.flatMap((group) => listOf(group, "connectors"))];
  const [groupIds, serverIds] = [groups, servers].map((entries) => new Set(entries.map(({ id }) => id)));
  return listOf(values, "tool_sets").flatMap((set, index) =>
    (Array.isArray(set.tools) ? set.tools : []).flatMap((text: unknown, position) => {
      const resource = parseResource(String(text));
      if (!resource.ok) return [];
      const path = ["tool_sets", index, "tools", position];
      const { value } = resource;
      if (value.kind === "group" && !groupIds!.has(value.group))
        return [{ path, message: `names the group ${value.group}, which is not there` }];
      if (value.kind === "tool" && !value.server.includes("*") && !serverIds!.has(value.server))
        return [{ path, message: `names the server ${value.server}, which is not there` }];
      return [];
    }),
  );
}

function listOf(holder: unknown, key: string): Unchecked[] {
  const list = (holder as Record<string, unknown> | null | undefined)?.[key];
  return Array.isArray(list) ? list.map((each: unknown) => (each ?? {}) as Unchecked) : [];
}
