import { type policyV1, RECORDABLE } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";
import { z } from "zod";
import { pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const LIST_MAX = 256;
const TEXT_MAX_CHARS = 32_768;

const count = z.number().int().nonnegative();
const version = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const texts = z.array(z.string().max(TEXT_MAX_CHARS)).max(LIST_MAX).default([]);
const conditions = z.record(z.string(), z.unknown()).default({}).meta({ description: "As in tollgate.yaml" });

/** Strict: a condition under a name that nobody knows must not be a policy without it. */
export const policyBody = z
  .strictObject({
    effect: z.enum(["", "allow", "deny"]).default(""),
    principals: texts.meta({ examples: [["token:dev-team"]] }),
    actions: texts.meta({ examples: [["tools/call"]] }),
    resources: texts.meta({ examples: [["files:read_*"]] }),
    conditions,
    tenant: z.string().max(63).default("").meta({ description: "Whose principals it concerns; empty: everybody's" }),
    description: z.string().max(TEXT_MAX_CHARS).default(""),
    cedar: z
      .string()
      .max(TEXT_MAX_CHARS)
      .default("")
      .meta({ description: "The policy written in Cedar itself, in the place of effect to conditions" }),
    record: z
      .array(z.enum(RECORDABLE))
      .default([])
      .meta({ description: "What of calls that it decides on is kept whole, encrypted" }),
  })
  .meta({
    description: "A policy in the short form of tollgate.yaml, or in Cedar",
    examples: [
      {
        effect: "allow",
        principals: ["role:reviewer"],
        actions: ["tools/call"],
        resources: ["filesystem:read_*"],
        conditions: { environment: "production" },
        description: "Reviewers read files",
      },
    ],
  });

export const policyQuery = z.object({
  tenant: z.string().max(63).default("").meta({ description: "Those that can concern somebody of this tenant" }),
  effect: z.enum(["", "allow", "deny"]).default(""),
  source: z.enum(["", "file", "api"]).default(""),
  ...pageQuery(["id", "effect", "tenant", "source", "version", "updatedAt", "updatedBy"], "id"),
});

export const policy = z.object({
  id: z.string(),
  effect: z.string(),
  principals: z.array(z.string()),
  actions: z.array(z.string()),
  resources: z.array(z.string()),
  conditions: z.record(z.string(), z.unknown()),
  tenant: z.string(),
  description: z.string(),
  cedar: z.string().meta({ description: "What it compiles to, or what was written" }),
  isCedar: z.boolean(),
  record: z.array(z.string()),
  source: z.string().meta({ description: "file or api" }),
  version: count,
  updatedAt: z.string().nullable(),
  updatedBy: z.string(),
});
export type ApiPolicy = z.infer<typeof policy>;
export const policies = z.object({ items: z.array(policy), nextCursor: z.string().nullable(), revision: count });

const versionOf = z.object({
  version: count,
  change: z.string().meta({ description: "put or delete" }),
  author: z.string(),
  at: z.string().nullable(),
  policy: policy.meta({ description: "What it said; of a removal, what was removed" }),
});
export type PolicyVersion = z.infer<typeof versionOf>;
export const historyQuery = z.object(pageQuery(["version", "change", "author", "at"], "-version"));
export const versions = z.object({ items: z.array(versionOf), nextCursor: z.string().nullable() });

export const diffQuery = z.object({
  from: version.optional().meta({ description: "The version before `to`, where it is not said" }),
  to: version.optional().meta({ description: "The newest, where it is not said" }),
});
export const diff = z.object({
  from: count.meta({ description: "0: before there was any" }),
  to: count,
  fields: z.array(z.object({ field: z.string(), from: z.unknown(), to: z.unknown() })),
  yaml: z.string().meta({ description: "The difference of the entries for tollgate.yaml, as diff -u writes it" }),
  cedar: z.string().meta({ description: "That of the Cedar texts" }),
});
export const rollback = z
  .strictObject({ version: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER) })
  .meta({ examples: [{ version: 1 }] });

/** What policy takes in. `replaced` is the version that has to be the present one; 0: any. */
export function fromBody(id: string, body: z.infer<typeof policyBody>, replaced = 0n): policyV1.Policy {
  const { conditions: given, ...rest } = body;
  return {
    ...rest,
    id,
    conditions: Object.keys(given).length === 0 ? "" : JSON.stringify(given),
    isCedar: body.cedar !== "",
    source: "api",
    version: replaced,
    updatedAtMs: 0n,
    updatedBy: "",
  };
}

export function toPolicy(from: policyV1.Policy): ApiPolicy {
  const { conditions: given, updatedAtMs, ...rest } = from;
  return {
    ...rest,
    conditions: given === "" ? {} : (parseJson(given) as Record<string, unknown>),
    version: Number(from.version),
    updatedAt: isoOrNull(updatedAtMs),
  };
}

export function toVersion({ policy: given, change }: policyV1.PolicyVersion): PolicyVersion {
  const said = toPolicy(given!);
  return { version: said.version, change, author: said.updatedBy, at: said.updatedAt, policy: said };
}
