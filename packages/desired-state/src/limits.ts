import { NAME_PATTERN, RISKS, type Risk } from "@tollgate/contracts";
import { z } from "zod";
import { BUDGET_KEYS, budgetSchema, type DesiredBudget, toBudget } from "./budgets.ts";
import { number } from "./scalars.ts";

// How often, how many at a time, how many a day, and for how much money. Messages never repeat a value.

const TEXT_MAX_CHARS = 500;
const LIST_MAX = 256;
const RATE_MAX = 100_000;
const CONCURRENT_MAX = 100_000;
const DAY_MAX = 1_000_000_000;
/** A gateway may hold permits for so long: a smaller bucket would not reach its rate. */
const BURST_LEAST_SECONDS = 0.1;

/** What each key of a limit may stand for: every one of these has a permit, a day and a budget of its own. */
export const LIMIT_SCOPES = [
  "installation",
  "tenant",
  "team",
  "principal",
  "user",
  "agent",
  "token",
  "server",
  "tool",
] as const;
export type LimitScope = (typeof LIMIT_SCOPES)[number];

/** What the meter knows of a call; it has no roles, and no risks. */
const METERED: ReadonlySet<string> = new Set(["tenant", "team", "principal", "group", "server", "tool"]);

const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");
const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS, `is longer than ${TEXT_MAX_CHARS} characters`);

function oneOrMore<T extends z.ZodType>(each: T) {
  const list = z.array(each).min(1, "is empty").max(LIST_MAX, `has more than ${LIST_MAX} entries`);
  return z.preprocess((value) => (Array.isArray(value) || value === undefined ? value : [value]), list);
}

const limitMatchSchema = z.strictObject({
  tenant: oneOrMore(name).optional(),
  team: oneOrMore(name).optional(),
  /** A token's name, `user:SUBJECT` or `agent:NAME`. */
  principal: oneOrMore(text).optional(),
  role: oneOrMore(name).optional(),
  group: oneOrMore(name).optional(),
  /** In these two a `*` stands for any run of characters. */
  server: oneOrMore(text).optional(),
  tool: oneOrMore(text).optional(),
  risk: oneOrMore(z.enum(RISKS, `has to be one of ${RISKS.join(", ")}`)).optional(),
});

const isTimezone = (value: string): boolean => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: value }).format(0);
    return true;
  } catch {
    return false;
  }
};

const limitShape = z.strictObject({
  name,
  description: z.string().max(TEXT_MAX_CHARS, `is longer than ${TEXT_MAX_CHARS} characters`).default(""),
  per: oneOrMore(z.enum(LIMIT_SCOPES, `has to be one of ${LIMIT_SCOPES.join(", ")}`)),
  match: limitMatchSchema.prefault({}),
  requests_per_second: number(z.number().positive().max(RATE_MAX)).optional(),
  burst: number(z.number().int().min(1).max(RATE_MAX)).optional(),
  concurrent: number(z.number().int().min(1).max(CONCURRENT_MAX)).optional(),
  /** 0: none at all. */
  per_day: number(z.number().int().min(0).max(DAY_MAX)).optional(),
  /** Where a day, and a month, begins. */
  timezone: z.string().max(TEXT_MAX_CHARS).refine(isTimezone, "has to be a time zone such as Europe/Berlin").optional(),
  budget: budgetSchema.optional(),
});
type Shape = z.infer<typeof limitShape>;

const KINDS = ["requests_per_second", "concurrent", "per_day", "budget"] as const;

export const limitSchema = limitShape
  .superRefine((limit, context) => {
    for (const { path, message } of findClashes(limit)) context.addIssue({ code: "custom", path, message });
  })
  .transform(toLimit);

function findClashes(limit: Shape): { path: string[]; message: string }[] {
  const { requests_per_second: rate, burst, budget, timezone } = limit;
  const clashes: { path: string[]; message: string }[] = [];
  if (KINDS.every((kind) => limit[kind] === undefined))
    clashes.push({ path: [], message: `limits nothing: it needs ${KINDS.slice(0, -1).join(", ")} or budget` });
  if (burst !== undefined && rate === undefined)
    clashes.push({ path: ["burst"], message: "goes with requests_per_second only" });
  if (burst !== undefined && rate !== undefined && burst < rate * BURST_LEAST_SECONDS)
    clashes.push({ path: ["burst"], message: "has to be a tenth of requests_per_second at least" });
  if (limit.per.length > 1 && limit.per.includes("installation"))
    clashes.push({ path: ["per"], message: "has installation, which stands alone" });
  if (timezone !== undefined && limit.per_day === undefined && budget === undefined)
    clashes.push({ path: ["timezone"], message: "goes with per_day and budget only" });
  if (budget === undefined) return clashes;
  if (limit.per.includes("token"))
    clashes.push({ path: ["per"], message: "has token, which does not go with budget: say principal" });
  for (const key of Object.keys(limit.match).filter((each) => !METERED.has(each)))
    clashes.push({ path: ["match", key], message: "does not go with budget: what is spent is not metered by it" });
  return clashes;
}

export interface LimitMatch {
  readonly tenant?: readonly string[];
  readonly team?: readonly string[];
  readonly principal?: readonly string[];
  readonly role?: readonly string[];
  readonly group?: readonly string[];
  readonly server?: readonly string[];
  readonly tool?: readonly string[];
  readonly risk?: readonly Risk[];
}

export interface DesiredLimit {
  readonly name: string;
  readonly description: string;
  readonly per: readonly LimitScope[];
  /** Which calls it concerns; those that are absent: all. */
  readonly match: LimitMatch;
  /** Calls per second, and how many may come at once after a pause. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
  readonly concurrent?: number;
  readonly perDay?: number;
  readonly budget?: DesiredBudget;
  readonly timezone: string;
}

function toLimit(shape: Shape): DesiredLimit {
  const { name: id, description, per, requests_per_second: perSecond, burst, concurrent, per_day: perDay } = shape;
  return {
    name: id,
    description,
    per: [...new Set(per)].toSorted(),
    match: JSON.parse(JSON.stringify(shape.match)) as LimitMatch,
    ...(perSecond === undefined ? {} : { rate: { perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond)) } }),
    ...(concurrent === undefined ? {} : { concurrent }),
    ...(perDay === undefined ? {} : { perDay }),
    ...(shape.budget === undefined ? {} : { budget: toBudget(shape.budget) }),
    timezone: shape.timezone ?? "UTC",
  };
}

export const LIMIT_KEYS: Readonly<Record<string, readonly string[]>> = {
  limits: Object.keys(limitShape.shape),
  "limits.match": Object.keys(limitMatchSchema.shape),
  ...BUDGET_KEYS,
};
