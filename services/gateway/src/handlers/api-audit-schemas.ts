import { type auditV1, KINDS } from "@tollgate/contracts";
import { z } from "zod";

const FILTER_MAX_CHARS = 512;
const PAGE_MAX = 1_000;
const CURSOR_MAX_CHARS = 512;
/** The end of the last year of four digits: a stream is not asked for what comes from a later one on. */
const TIME_MAX_MS = 253_402_300_799_999;

const filter = (description: string) => z.string().max(FILTER_MAX_CHARS).default("").meta({ description });
const milliseconds = z.number().int().nonnegative().max(TIME_MAX_MS);
export const time = (description: string) =>
  z
    .union([
      z.iso
        .datetime({ offset: true })
        .transform((text) => Date.parse(text))
        // An offset leads out of these years.
        .refine((ms) => ms >= 0 && ms <= TIME_MAX_MS, "has to be of the years 1970 to 9999"),
      milliseconds,
      z
        .string()
        .regex(/^\d{1,15}$/)
        .transform(Number)
        .pipe(milliseconds),
    ])
    .optional()
    .meta({ description: `${description}: ISO 8601 with an offset, or Unix milliseconds` });

const EVENT = {
  v: 1,
  kind: "refusal",
  id: "01kag3v7wq4m8n2x5z9r6t0b1c",
  tenant: "acme",
  endedAt: 1_763_708_400_000,
  principal: "agent:deployer",
  code: "denied",
  reason: "no policy allows it",
};
const EVENT_LINE = `${JSON.stringify(EVENT)}\n`;

/** What tails can be asked for too. */
const streamed = {
  tenant: filter("Empty: every tenant that the caller may see"),
  kind: z
    .enum(["", ...KINDS])
    .default("")
    .meta({ description: "What kind of event (docs/events.md)" }),
  outcome: filter("A call's outcome, a refusal's code, what was changed: docs/audit.md"),
  principal: filter("Who, such as user:alice, agent:reviewer, or the name of a token"),
  user: filter("Short for principal=user:…"),
  agent: filter("Short for principal=agent:…"),
  team: filter("The principal's team"),
  group: filter("The server's group"),
  server: filter("The server's id"),
  tool: filter("As the server names it: a tool, a prompt or a resource's uri"),
  policy: filter("The id of a policy that decided"),
  decision: z.enum(["", "allow", "deny"]).default("").meta({ description: "What policies decided" }),
  trace: z
    .union([z.literal(""), z.string().regex(/^[0-9a-f]{32}$/i, "has to be a W3C trace id: 32 hexadecimal digits")])
    .default("")
    .transform((text) => text.toLowerCase())
    .meta({ description: "A W3C trace id" }),
};
const recorded = {
  ...streamed,
  from: time("Inclusive"),
  to: time("Exclusive"),
  text: filter('Words in the reason: all of them; "a phrase", one or another, -without'),
};
type Asked = { principal: string; user: string; agent: string };

const named = ({ principal, user, agent }: Asked) => [principal, user, agent].filter((each) => each !== "").length <= 1;
const ONE_PRINCIPAL = { path: ["principal"], message: "has to be one of principal, user and agent" };

/** Strict: a filter that is not known, left out in silence, would show more than was asked for. */
export const listQuery = z
  .strictObject({
    ...recorded,
    id: filter("An event's id"),
    limit: z.coerce.number().int().min(1).max(PAGE_MAX).optional().meta({ description: "100 where it is not said" }),
    cursor: z.string().max(CURSOR_MAX_CHARS).default("").meta({ description: "nextCursor of the page before" }),
  })
  .refine(named, ONE_PRINCIPAL);
/** For what is asked for in a body. */
export const recordedFilter = z.strictObject(recorded).refine(named, ONE_PRINCIPAL);
export const exportQuery = z
  .strictObject({
    ...recorded,
    format: z.enum(["csv", "ndjson"]).default("ndjson"),
    limit: z.coerce.number().int().min(1).optional().meta({ description: "All, where it is not said" }),
  })
  .refine(named, ONE_PRINCIPAL);
export const exported = {
  description: "A file",
  content: {
    "application/x-ndjson": { schema: z.string().meta({ description: "An event a line", examples: [EVENT_LINE] }) },
    "text/csv": { schema: z.string().meta({ description: "With a header", examples: ["id,kind,tenant\n"] }) },
  },
};
export const tailed = {
  description: "Events as they come",
  content: { "text/event-stream": { schema: z.string().meta({ examples: [`id: 812.0\ndata: ${EVENT_LINE}\n`] }) } },
};
export const tailQuery = z
  .strictObject({
    ...streamed,
    since: time("From when on; else from now on, or after an event"),
    after: z
      .string()
      .max(64)
      .default("")
      .meta({ description: "The id of the last event that was seen, where Last-Event-ID cannot be sent" }),
  })
  .refine(named, ONE_PRINCIPAL);

export const events = z
  .object({
    items: z.array(z.record(z.string(), z.unknown()).meta({ examples: [EVENT] })),
    nextCursor: z.string().nullable(),
  })
  .meta({ description: "A page may be short, even empty, and yet have a nextCursor: docs/audit.md" });

export const provenEvent = z.object({
  event: z.record(z.string(), z.unknown()).meta({ examples: [EVENT] }),
  line: z.string().meta({ description: "The event as it was recorded, to the byte", examples: [EVENT_LINE.trim()] }),
  proof: z
    .record(z.string(), z.unknown())
    .nullable()
    .meta({ examples: [null] }),
});
export const recording = z.object({
  id: z.string(),
  keyId: z.string().meta({ description: "Of the key that it was kept with", examples: ["k1"] }),
  arguments: z.unknown().optional(),
  result: z.unknown().optional(),
  omitted: z.array(z.string()).meta({ description: "What was too large to be kept" }),
});

type Filters = Asked &
  Pick<
    auditV1.EventFilter,
    "tenant" | "kind" | "outcome" | "group" | "server" | "tool" | "team" | "policy" | "decision" | "trace"
  >;

/** @param tenant whose events the caller is shown */
export function toFilter(
  query: Filters & { from?: number | undefined; to?: number | undefined; text?: string },
  tenant: string,
): auditV1.EventFilter {
  const { kind, outcome, group, server, tool, team, policy, decision, trace, text = "", from, to } = query;
  const { principal, user, agent } = query;
  return {
    tenant,
    kind,
    outcome,
    group,
    server,
    tool,
    team,
    policy,
    decision,
    trace,
    text,
    fromMs: BigInt(from ?? 0),
    toMs: BigInt(to ?? 0),
    principal: user === "" ? (agent === "" ? principal : `agent:${agent}`) : `user:${user}`,
  };
}
