import type { policyV1 } from "@tollgate/contracts";
import { z } from "zod";
import { fromBody, policyBody } from "./api-policies-schemas.ts";

const PROPOSED_MAX = 100;
const REMOVED_MAX = 2_000;
/** Events of one request; a cursor goes on. */
const EVENTS_MAX = 200_000;
const TEXTS_MAX = 256;
const NAME_MAX_CHARS = 2_048;

const name = z.string().max(NAME_MAX_CHARS);
const count = z.number().int().nonnegative();
const time = z
  .union([z.iso.datetime({ offset: true }), z.number().int().positive().max(8_640_000_000_000_000)])
  .transform((value) => (typeof value === "string" ? Date.parse(value) : value));

const proposal = {
  proposed: z
    .array(policyBody.safeExtend({ id: z.string().max(63) }))
    .max(PROPOSED_MAX)
    .default([])
    .meta({ description: "Policies in the place of those with the same ids, or beside the others" }),
  removed: z.array(z.string().max(63)).max(REMOVED_MAX).default([]).meta({ description: "Ids of policies" }),
};

export function toProposal({ proposed, removed }: { proposed: z.infer<typeof proposal.proposed>; removed: string[] }) {
  return { proposed: proposed.map(({ id, ...body }) => fromBody(id, body)), removed };
}

const caller = z
  .strictObject({
    token: name.optional().meta({ description: "The name of an API token, whose tenant, team and roles are known" }),
    agent: name.optional(),
    user: name.optional().meta({ description: "The subject of an access token" }),
    tenant: name.default(""),
    team: name.default(""),
    roles: z
      .array(name)
      .max(TEXTS_MAX)
      .default([])
      .meta({ description: "Of a token or agent: in the place of its own" }),
    amr: z.array(name).max(TEXTS_MAX).default([]),
    acr: name.default(""),
    signedInAt: time.optional(),
    address: name.default(""),
  })
  .refine(({ token, agent, user }) => [token, agent, user].filter((each) => each !== undefined).length === 1, {
    message: "has to be a token, an agent or a user",
  });

export const test = z
  .strictObject({
    caller,
    action: z
      .string()
      .max(64)
      .optional()
      .meta({ description: "Where it is not said: to use the tool, prompt or resource", examples: ["tools/call"] }),
    server: name.optional(),
    tool: name.optional(),
    prompt: name.optional(),
    resource: name.optional(),
    arguments: z.record(z.string(), z.unknown()).optional(),
    at: time.optional().meta({ description: "Now, where it is not said" }),
    ...proposal,
  })
  .refine(({ tool, prompt, resource }) => [tool, prompt, resource].filter((each) => each !== undefined).length <= 1, {
    message: "has to be about one of tool, prompt and resource",
  })
  .refine(({ action, tool, prompt, resource }) => (action ?? tool ?? prompt ?? resource) !== undefined, {
    path: ["action"],
    message: "has to be said, or a tool, prompt or resource",
  })
  .refine(({ server, tool, prompt, resource }) => server !== undefined || (tool ?? prompt ?? resource) === undefined, {
    path: ["server"],
    message: "has to be said: whose tool, prompt or resource",
  })
  .meta({
    examples: [{ caller: { user: "alice", roles: ["reviewer"] }, server: "filesystem", tool: "read_file" }],
  });
export type Test = z.infer<typeof test>;

export const verdict = z.object({
  allow: z.boolean(),
  policies: z.array(z.string()).meta({ description: "Those that decided; none: no policy allows it" }),
  reason: z.string(),
  variesByArguments: z.boolean().meta({ description: "Asked without arguments: some may be allowed" }),
  approvalsNeeded: count,
  limits: z.array(z.string()).meta({ description: "What it counts against" }),
  stepUp: z.object({ acrValues: z.array(z.string()), maxAge: count }).nullable(),
  revision: count,
});

export const whatIf = z
  .strictObject({
    from: time,
    to: time.optional().meta({ description: "Now, where it is not said" }),
    tenant: z.string().max(63).default(""),
    ...proposal,
    limit: z
      .number()
      .int()
      .min(1)
      .max(EVENTS_MAX)
      .default(EVENTS_MAX)
      .meta({ description: "Events, to the next 1,000" }),
    cursor: z.string().max(512).default(""),
  })
  .meta({ examples: [{ from: "2026-11-01T00:00:00Z", removed: ["read-only-files"] }] });

const decision = z.object({ allow: z.boolean(), policies: z.array(z.string()), reason: z.string() });
const difference = z.object({
  id: z.string().meta({ description: "The event's" }),
  at: z.string(),
  principal: z.string(),
  tenant: z.string(),
  server: z.string(),
  tool: z.string(),
  was: decision,
  now: decision,
});
export const differences = z.object({
  examined: count.meta({ description: "Calls and refusals that were decided anew" }),
  changed: z.array(difference).meta({ description: "What would be decided otherwise, newest first" }),
  undetermined: z.array(difference).meta({
    description: "What cannot be said: it rests on arguments, which are not recorded, or on more than policies",
  }),
  folded: count.meta({ description: "Refusals of which only the number is recorded" }),
  complete: z.boolean(),
  nextCursor: z.string().nullable().meta({ description: "To go on where this ended" }),
});

/** What policy is asked, but for the resource. */
export function toPrincipal({ token, agent, user, signedInAt, ...rest }: Test["caller"]): policyV1.Principal {
  const { address: _address, ...who } = rest;
  const id = token ?? (agent === undefined ? `user:${user}` : `agent:${agent}`);
  return {
    ...who,
    id,
    permissions: ["mcp"],
    credential: id,
    authenticatedAtMs: BigInt(signedInAt ?? 0),
  };
}
