import { createHash } from "node:crypto";
import type { Risk } from "@tollgate/contracts";
import type { DesiredLimit, LimitMatch, LimitScope } from "@tollgate/desired-state";

/** What a call may count against. A key of a decision names one of these of one limit. */
const LIMIT_KINDS = ["rate", "slot", "day", "budget"] as const;
export type LimitKind = (typeof LIMIT_KINDS)[number];

export interface LimitRecord extends DesiredLimit {
  readonly source: "file" | "api";
  readonly updatedAtMs: number;
  readonly updatedBy: string;
}

/** Names and uris may be long; keys are not. */
const PLAIN_MAX_CHARS = 80;

const LIMITED: ReadonlySet<string> = new Set(["tools/call", "resources/read", "prompts/get"]);

/** Takes effect where no limit with a rate names the call's risk. */
export const DEFAULT_RISK_LIMIT: DesiredLimit = {
  name: "default-for-risk",
  description: "Calls of tools that can do harm, where no limit says otherwise",
  per: ["principal", "tool"],
  match: { risk: ["MEDIUM", "HIGH", "CRITICAL"] },
  rate: { perSecond: 10, burst: 20 },
  timezone: "UTC",
};

export interface LimitedCaller {
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly credential: string;
}
export interface LimitedCall {
  readonly group: string;
  readonly server: string;
  readonly tool: string;
  readonly risk: string;
}

export interface LimitIndex {
  readonly records: readonly LimitRecord[];
  readonly byName: ReadonlyMap<string, DesiredLimit>;
  /** The keys of all that one call counts against. */
  keysOf(caller: LimitedCaller, action: string, call: LimitedCall): string[];
}

export function indexLimits(limits: readonly LimitRecord[]): LimitIndex {
  const matchers = limits.map(matcherFor);
  const byDefault = matcherFor(DEFAULT_RISK_LIMIT);
  return {
    records: limits,
    byName: new Map([DEFAULT_RISK_LIMIT, ...limits].map((limit) => [limit.name, limit])),
    keysOf(caller, action, given) {
      if (!LIMITED.has(action)) return [];
      const call = given.risk === "" ? { ...given, risk: "LOW" } : given;
      const isTool = action === "tools/call";
      const concerning = matchers.filter(
        ({ limit, fits }) => (isTool || !isAboutTools(limit)) && fits({ ...caller, ...call }),
      );
      const isSaid = concerning.some(({ limit }) => limit.rate && limit.match.risk?.includes(call.risk as Risk));
      if (isTool && !isSaid && byDefault.fits({ ...caller, ...call })) concerning.push(byDefault);
      return concerning.flatMap(({ limit }) => keysUnder(limit, caller, call));
    },
  };
}

function matcherFor(limit: DesiredLimit) {
  return { limit, fits: matcherOf(limit.match) };
}

function isAboutTools({ per, match }: DesiredLimit): boolean {
  return per.includes("tool") || match.tool !== undefined;
}

function keysUnder(limit: DesiredLimit, caller: LimitedCaller, call: LimitedCall): string[] {
  const values: string[] = [];
  for (const scope of limit.per) {
    const value = VALUES[scope](caller, call);
    if (value === undefined) return [];
    values.push(value);
  }
  return kindsOf(limit).map((kind) => limitKey(kind, limit.name, values));
}

function kindsOf({ rate, concurrent, perDay, budget }: DesiredLimit): LimitKind[] {
  const given = { rate, slot: concurrent, day: perDay, budget };
  return LIMIT_KINDS.filter((kind) => given[kind] !== undefined);
}

type ValueOf = (caller: LimitedCaller, call: LimitedCall) => string | undefined;

const principalOf: ValueOf = ({ tenant, id }) => `${tenant}/${id}`;
const isUser = (id: string): boolean => id.startsWith("user:");
const isAgent = (id: string): boolean => id.startsWith("agent:");

/** What a call counts under; undefined: such a limit does not concern it. Principals and teams are of their tenant. */
const VALUES: Readonly<Record<LimitScope, ValueOf>> = {
  installation: () => "",
  tenant: ({ tenant }) => tenant,
  team: ({ tenant, team }) => `${tenant}/${team}`,
  principal: principalOf,
  user: (caller, call) => (isUser(caller.id) ? principalOf(caller, call) : undefined),
  agent: (caller, call) => (isAgent(caller.id) ? principalOf(caller, call) : undefined),
  token: ({ tenant, id, credential }) => (isUser(id) ? undefined : `${tenant}/${credential || id}`),
  server: (_caller, { server }) => server,
  tool: (_caller, { server, tool }) => `${server}:${tool}`,
};

/** Which values of a call make up the key of a limit; see the proto's Decision.limits. */
function limitKey(kind: LimitKind, name: string, values: readonly string[]): string {
  return [kind, name, ...values.map(short)].join("|");
}

function short(value: string): string {
  const plain = encodeURIComponent(value.toWellFormed());
  return plain.length <= PLAIN_MAX_CHARS ? plain : createHash("sha256").update(value).digest("base64url");
}

/** @returns undefined when it is no key of a limit that there is */
export function limitOfKey(
  { byName }: Pick<LimitIndex, "byName">,
  key: string,
): { readonly kind: LimitKind; readonly limit: DesiredLimit } | undefined {
  const [given, name = ""] = key.split("|", 2);
  const limit = byName.get(name);
  const kind = LIMIT_KINDS.find((each) => each === given);
  if (limit === undefined || kind === undefined || !kindsOf(limit).includes(kind)) return undefined;
  return { kind, limit };
}

/** Which dimensions of the meter say what was spent under a budget, and under which key. */
export function meteredBy({ per, match }: DesiredLimit): string[] {
  const scopes = per.flatMap((scope) => METERED_AS[scope]);
  return [...new Set([...scopes, ...Object.keys(match)])].toSorted();
}

const METERED_AS: Readonly<Record<LimitScope, readonly string[]>> = {
  installation: [],
  tenant: ["tenant"],
  team: ["tenant", "team"],
  principal: ["tenant", "principal"],
  user: ["tenant", "principal"],
  agent: ["tenant", "principal"],
  token: ["tenant", "principal"],
  server: ["server"],
  tool: ["server", "tool"],
};

/** Each of its keys is one tenant's. */
export function isOfTenants({ per }: DesiredLimit): boolean {
  return per.some((scope) => METERED_AS[scope].includes("tenant"));
}

/** The key under which a row of the meter counts; undefined where the limit does not concern it. */
export function budgetKeyOf(limit: DesiredLimit, row: Readonly<Record<string, string>>): string | undefined {
  const { tenant = "", team = "", principal: id = "", group = "", server = "", tool = "" } = row;
  const caller = { id, tenant, team, roles: [], credential: "" };
  const call = { group, server, tool, risk: "" };
  if (!matcherOf(limit.match)({ ...caller, ...call })) return undefined;
  return keysUnder(limit, caller, call).find((key) => key.startsWith("budget|"));
}

type Matched = LimitedCaller & LimitedCall;
const GLOBS: ReadonlySet<string> = new Set(["server", "tool"]);

function matcherOf(match: LimitMatch): (call: Matched) => boolean {
  const tests = Object.entries(match).map(([name, wanted]): ((call: Matched) => boolean) => {
    const texts: readonly string[] = wanted;
    if (name === "role") return ({ roles }) => roles.some((role) => texts.includes(role));
    const key = (name === "principal" ? "id" : name) as Exclude<keyof Matched, "roles">;
    if (GLOBS.has(name)) return (call) => texts.some((glob) => fitsGlob(glob, call[key]));
    return (call) => texts.includes(call[key]);
  });
  return (call) => tests.every((test) => test(call));
}

/** A `*` stands for any run of characters. Takes no longer than the text is long, times the glob. */
export function fitsGlob(glob: string, text: string): boolean {
  const [first = "", ...rest] = glob.split("*");
  if (rest.length === 0) return glob === text;
  const last = rest.pop()!;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** A limit in words, for those whom it refuses. */
export function describeLimit(kind: LimitKind, limit: DesiredLimit): string {
  const { name, per, rate, concurrent, perDay, budget } = limit;
  const each = per.includes("installation") ? "in all" : `for each ${per.join(" and ")}`;
  const much = {
    rate: `${rate?.perSecond} requests per second`,
    slot: `${concurrent} calls at a time`,
    day: `${perDay} calls a day`,
    budget: `${budget?.amount} a ${budget?.period}`,
  }[kind];
  return `the limit "${name}" is reached: ${much} ${each}`;
}
