import type { policyV1 } from "@tollgate/contracts";
import { z } from "zod";
import { pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const NAME_MAX_CHARS = 63;
const ID_MAX_CHARS = 200;
const NOTE_MAX_CHARS = 2_000;
const LIST_MAX = 256;
const OVERLAP_MAX_SECONDS = 7 * 86_400;

const count = z.number().int().nonnegative();
const name = z.string().max(NAME_MAX_CHARS);
const names = z.array(name).max(LIST_MAX).default([]);
const filter = z.string().max(ID_MAX_CHARS).default("");
const expiresAt = z.iso
  .datetime({ offset: true })
  .optional()
  .meta({ examples: ["2027-01-31T00:00:00Z"] });

// Tokens

export const tokenQuery = z.object({
  tenant: filter,
  agent: filter.meta({ examples: ["agent:deployer"] }),
  source: z.enum(["", "file", "api"]).default(""),
  usable: z.stringbool().optional().meta({ description: "Neither revoked nor expired, or one of the two" }),
  ...pageQuery(
    ["name", "tenant", "team", "agent", "source", "createdAt", "createdBy", "expiresAt", "revokedAt", "lastUsedAt"],
    "name",
  ),
});

export const tokenBody = z.strictObject({
  name: z
    .string()
    .max(NAME_MAX_CHARS)
    .meta({ examples: ["deployer-ci"] }),
  tenant: name.default("").meta({ description: "Empty: default" }),
  team: name.default("").meta({ description: "Empty: default, or the agent's" }),
  roles: names.meta({ description: "An agent's are its own" }),
  permissions: z
    .array(z.string().max(ID_MAX_CHARS))
    .max(LIST_MAX)
    .default([])
    .meta({ description: "mcp, mcp:GROUP, mcp:GROUP/SERVER and admin; none: mcp", examples: [["mcp:devops"]] }),
  agent: z.string().max(ID_MAX_CHARS).default("").meta({ description: "Whom it stands for; empty: itself" }),
  expiresAt,
});

export const rotation = z.strictObject({
  overlapSeconds: z
    .number()
    .int()
    .min(0)
    .max(OVERLAP_MAX_SECONDS)
    .default(0)
    .meta({ description: "For how long the present secret goes on beside the new one" }),
  expiresAt: expiresAt.meta({ description: "As before, where it is not said" }),
});

export const token = z.object({
  name: z.string(),
  tenant: z.string(),
  team: z.string(),
  roles: z.array(z.string()),
  permissions: z.array(z.string()),
  agent: z.string().meta({ description: "Whom it stands for; empty: itself" }),
  source: z.string().meta({ description: "file or api" }),
  createdAt: z.string().nullable(),
  createdBy: z.string(),
  expiresAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
  lastUsedAt: z.string().nullable().meta({ description: "As far as it is known, some seconds late" }),
  previousUntil: z.string().nullable().meta({ description: "Until when the secret before the last rotation is taken" }),
});
export const tokens = z.object({ items: z.array(token), nextCursor: z.string().nullable() });
export const newSecret = token.extend({
  secret: z.string().meta({ description: "Shown this once: only its hash is kept" }),
  revision: count,
});

export function fromTokenBody({ expiresAt: at, ...body }: z.infer<typeof tokenBody>): Partial<policyV1.Token> {
  return { ...body, expiresAtMs: msOf(at) };
}

export function toToken(from: policyV1.Token): z.infer<typeof token> {
  const { name: own, tenant, team, roles, permissions, agent, source, createdBy } = from;
  return {
    name: own,
    tenant,
    team,
    roles,
    permissions,
    agent,
    source,
    createdBy,
    createdAt: isoOrNull(from.createdAtMs),
    expiresAt: isoOrNull(from.expiresAtMs),
    revokedAt: isoOrNull(from.revokedAtMs),
    lastUsedAt: isoOrNull(from.lastUsedAtMs),
    previousUntil: isoOrNull(from.previousUntilMs),
  };
}

/** 0 where it is not said. */
export function msOf(at: string | undefined): bigint {
  return at === undefined ? 0n : BigInt(Date.parse(at));
}

// Principals

export const principalId = z.object({
  id: z
    .string()
    .min(1)
    .max(ID_MAX_CHARS)
    .meta({ examples: ["agent:deployer"] }),
});
export const ofTenant = z.object({ tenant: name.default("default") });
export const principalQuery = z.object({
  tenant: filter,
  kind: z.enum(["", "agent", "user"]).default(""),
  disabled: z.stringbool().optional(),
  ...pageQuery(["tenant", "id", "team", "disabled", "updatedAt", "updatedBy"], "tenant,id"),
});

export const principalBody = z
  .strictObject({
    team: name.default("").meta({ description: "Of agents; a user's comes from the access token" }),
    roles: names.meta({ description: "Of an agent all it has; of a user those beside the access token's" }),
    withdrawnRoles: names.meta({ description: "Count for nothing, whatever a token says" }),
    disabled: z.boolean().default(false),
    note: z.string().max(NOTE_MAX_CHARS).default("").meta({ description: "Why, for people" }),
  })
  .meta({
    description: "All that is kept of the principal: what is left out is empty",
    examples: [{ team: "platform", roles: ["reviewer"], note: "Deploys from the main branch" }],
  });

export const principal = z.object({
  tenant: z.string(),
  id: z.string(),
  team: z.string(),
  roles: z.array(z.string()),
  withdrawnRoles: z.array(z.string()),
  disabled: z.boolean(),
  note: z.string(),
  updatedAt: z.string().nullable(),
  updatedBy: z.string(),
});
export const principals = z.object({ items: z.array(principal), nextCursor: z.string().nullable() });
export const changedPrincipal = principal.extend({ revision: count });

export function toPrincipal({ updatedAtMs, ...rest }: policyV1.KnownPrincipal): z.infer<typeof principal> {
  return { ...rest, updatedAt: isoOrNull(updatedAtMs) };
}

// Roles

export const roleName = z.object({ name: z.string().min(1).max(NAME_MAX_CHARS) });
export const roleBody = z
  .strictObject({
    description: z.string().max(NOTE_MAX_CHARS).default(""),
    disabled: z.boolean().default(false).meta({ description: "It counts for nothing, whoever of the tenant has it" }),
  })
  .meta({ examples: [{ description: "Reads what others have written" }] });
export const role = z.object({
  tenant: z.string(),
  name: z.string(),
  description: z.string(),
  disabled: z.boolean(),
});
export const roleQuery = z.object({ tenant: filter, ...pageQuery(["tenant", "name", "disabled"], "tenant,name") });
export const roles = z.object({ items: z.array(role), nextCursor: z.string().nullable() });
export const changedRole = role.extend({ revision: count });

/** With its members in one order, as its ETag needs. */
export function toRole({ tenant, name: own, description, disabled }: policyV1.Role): z.infer<typeof role> {
  return { tenant, name: own, description, disabled };
}
