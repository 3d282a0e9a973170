import { createHash } from "node:crypto";
import {
  type AuthorizationAnswer,
  preparsePolicySet,
  statefulIsAuthorized,
  validate,
} from "@cedar-policy/cedar-wasm/nodejs";
import { type CallArguments, unclearArguments } from "./call-arguments.ts";
import {
  type Circumstances,
  type Looks,
  type SignIn,
  type Subject,
  type Target,
  toQuestion,
} from "./cedar-question.ts";
import { CEDAR_SCHEMA } from "./cedar-schema.ts";
import type { CompiledText } from "./compiled-policy.ts";
import type { WrittenPolicy } from "./policy.ts";
import { type OpenWindows, openWindows, parseWindow, type Window } from "./windows.ts";

export interface Verdict {
  readonly allow: boolean;
  /** The policies that decided, sorted. */
  readonly policyIds: readonly string[];
  /** Why nothing could be decided; `allow` is false then. */
  readonly failure?: string;
  /** It was asked without arguments, and others may be denied. */
  readonly variesByArguments?: true;
  /** Until when it is the same if asked again, Unix milliseconds; absent: for good. */
  readonly validUntilMs?: number;
}

export interface EnginePolicy extends Pick<WrittenPolicy, "id" | "tenant" | "conditions" | "cedarText"> {
  readonly compiled: CompiledText;
}

export interface Asked {
  readonly nowMs: number;
  readonly address?: string | undefined;
  readonly signIn: SignIn;
  /** Undefined: whether some may be allowed. */
  readonly callArguments?: CallArguments | undefined;
}

/** How a user could sign in that some policy asks for. */
export interface WantedSignIns {
  readonly mfa: boolean;
  readonly acrs: readonly string[];
  /** Seconds. */
  readonly ages: readonly number[];
}

/** One unchanging set of policies. */
export interface CedarEngine {
  decide(subject: Subject, on: { readonly action: string; readonly target: Target }, asked: Asked): Verdict;
  /** What of a sign-in matters to policies that concern the subject. */
  wantedSignIns(subject: Subject, action: string): WantedSignIns;
  /**
   * Gives the parsed sets' memory back. Afterwards everything is denied.
   * @param heir takes those over that it needs itself
   */
  dispose(heir?: CedarEngine): void;
  /** Whether it has a use for a parsed set of these texts, which is its own from now on. */
  adopt(content: string, set: ParsedSet): boolean;
}

/** Policies that concern the same callers, parsed. */
interface ParsedSet {
  readonly name: string;
  readonly looks: Looks;
  readonly windows: readonly Window[];
  readonly wanted: WantedSignIns;
  /** Of arguments that conditions test. */
  readonly argumentNames: readonly string[];
  /** Cedar texts that look at the clock, or at arguments, are not known to say the same a moment later, or of others. */
  readonly isTimely: boolean;
  readonly isOpaque: boolean;
  open: OpenWindows;
  released: boolean;
}

const SETS_MAX = 1_024;
/** Ways to be named by policies that are remembered with their set. */
const SUBJECTS_MAX = 10_000;
/** For how long a decision holds that rests on the clock. */
const TIMELY_MS = 1_000;

// The library keeps parsed sets in a table of the thread that nothing can be removed from, so names are used again.
const freeNames: string[] = [];
let namesMade = 0;

/**
 * Evaluation takes time in proportion to a set's size, so a subject is judged by the policies that name it, its roles,
 * team or tenant, or everybody, and that are about the action; the others could not match. Such a set is parsed when
 * first needed, once for all subjects that share it.
 * @param checked Cedar texts that an earlier engine has taken: the check is what takes long, a millisecond for each
 * @throws {Error} when a policy does not parse or does not fit the schema
 */
export function createCedarEngine(
  policies: readonly EnginePolicy[],
  checked: ReadonlySet<string> = new Set(),
): CedarEngine {
  checkPolicies(policies.filter(({ compiled }) => !checked.has(compiled.cedar)));
  const mentioned = new Set(policies.flatMap(({ compiled }) => [...compiled.principals]));
  const tenants = new Set(policies.map(({ tenant }) => tenant));
  const keys = new Map(policies.map((policy) => [policy, contentKey(policy)]));
  const own = new Set(keys.values());
  const setBySubject = new Map<string, ParsedSet>();
  const setByContent = new Map<string, ParsedSet>();
  let disposed = false;

  function setFor(subject: Subject, action: string): ParsedSet {
    // There may be any number of users; names that no policy mentions make no difference. Those of policies hold no space.
    const names = namesOf(subject).filter((name) => mentioned.has(name));
    const key = `${action} ${tenants.has(subject.tenant) ? subject.tenant : ""} ${names.join(" ")}`;
    const known = setBySubject.get(key);
    if (known !== undefined && !known.released) return known;
    const applicable = policies.filter(
      ({ tenant, compiled }) =>
        (tenant === "" || tenant === subject.tenant) &&
        compiled.actions.has(action) &&
        names.some((name) => compiled.principals.has(name)),
    );
    const content = applicable.map((policy) => keys.get(policy)).join("\n");
    const set = setByContent.get(content) ?? parseSet(applicable);
    setByContent.set(content, set);
    if (setByContent.size > SETS_MAX) releaseOldest();
    if (setBySubject.size >= SUBJECTS_MAX) setBySubject.clear();
    setBySubject.set(key, set);
    return set;
  }

  /** Users may have many roles, of which policies know few. */
  function asNamed(subject: Subject): Subject {
    return { ...subject, roles: subject.roles.filter((role) => mentioned.has(`role:${role}`)) };
  }

  function releaseOldest(): void {
    const [content, set] = setByContent.entries().next().value!;
    setByContent.delete(content);
    release(set);
  }

  return {
    decide(subject, on, asked) {
      if (disposed) return { allow: false, policyIds: [], failure: "this set of policies is no longer in use" };
      try {
        const set = setFor(subject, on.action);
        return decideBy(set, set.looks.atPrincipal ? subject : asNamed(subject), on, asked);
      } catch (error) {
        return { allow: false, policyIds: [], failure: (error as Error).message };
      }
    },
    wantedSignIns: (subject, action) => setFor(subject, action).wanted,
    dispose(heir) {
      disposed = true;
      for (const [content, set] of setByContent) if (!heir?.adopt(content, set)) release(set);
      setByContent.clear();
      setBySubject.clear();
    },
    adopt(content, set) {
      const isWanted = !disposed && !setByContent.has(content) && content.split("\n").every((key) => own.has(key));
      if (isWanted && setByContent.size < SETS_MAX) setByContent.set(content, set);
      return isWanted && setByContent.get(content) === set;
    },
  };
}

/** Two policies with the same key are the same to a set. */
function contentKey({ id, cedarText, compiled }: EnginePolicy): string {
  const form = cedarText === "" ? "short" : "cedar";
  return `${id} ${form} ${createHash("sha256").update(compiled.cedar).digest("base64")}`;
}

function release(set: ParsedSet): void {
  set.released = true;
  preparsePolicySet(set.name, {});
  freeNames.push(set.name);
}

/** Every way in which a policy in the short form can name the subject. */
function namesOf({ kind, id, tenant, team, roles }: Subject): string[] {
  return ["*", `${kind}:${id}`, `tenant:${tenant}`, `team:${team}`, ...roles.map((role) => `role:${role}`)];
}

function checkPolicies(policies: readonly EnginePolicy[]): void {
  if (policies.length === 0) return;
  const answer = validate({ schema: CEDAR_SCHEMA, policies: { staticPolicies: textsOf(policies) } });
  if (answer.type === "failure") throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
  const wrong = answer.validationErrors[0];
  if (wrong) throw new Error(`policy ${wrong.policyId} does not fit: ${wrong.error.message}`);
}

function textsOf(policies: readonly EnginePolicy[]): Record<string, string> {
  return Object.fromEntries(policies.map(({ id, compiled }) => [id, compiled.cedar]));
}

function parseSet(policies: readonly EnginePolicy[]): ParsedSet {
  const name = freeNames.pop() ?? `set-${(namesMade += 1)}`;
  const answer = preparsePolicySet(name, { staticPolicies: textsOf(policies) });
  if (answer.type !== "success") {
    freeNames.push(name);
    throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
  }
  const conditions = policies.map((policy) => policy.conditions);
  const written = policies.filter(({ cedarText }) => cedarText !== "").map(({ compiled }) => compiled.mentions);
  const windows = new Set(policies.flatMap(({ compiled }) => compiled.windows));
  return {
    name,
    looks: {
      mentions: new Set(policies.flatMap(({ compiled }) => [...compiled.mentions])),
      atPrincipal: written.length > 0,
    },
    windows: [...windows].map(parseWindow).filter((window) => window !== undefined),
    wanted: {
      mfa: conditions.some(({ mfa }) => mfa),
      acrs: [...new Set(conditions.flatMap(({ acr }) => acr ?? []))],
      ages: [...new Set(conditions.flatMap(({ max_sign_in_age: age }) => age ?? []))],
    },
    argumentNames: [...new Set(conditions.flatMap((each) => Object.keys(each.arguments ?? {})))],
    isTimely: written.some((mentions) => mentions.has("now")),
    isOpaque: written.some((mentions) => mentions.has("arguments")),
    open: NOTHING_OPEN,
    released: false,
  };
}

const NOTHING_OPEN: OpenWindows = { texts: [], sinceMs: 0, untilMs: 0 };

type On = { readonly action: string; readonly target: Target };

function decideBy(set: ParsedSet, subject: Subject, on: On, asked: Asked): Verdict {
  const { nowMs, address, signIn, callArguments } = asked;
  const { open } = set;
  if (nowMs < open.sinceMs || nowMs >= open.untilMs) set.open = openWindows(set.windows, nowMs);
  const validUntilMs = endOf(set, asked);
  const windows = set.open.texts;
  const ask = (given: CallArguments, isAnyArguments: boolean): Verdict => {
    const circumstances: Circumstances = { nowMs, address, signIn, windows, callArguments: given, isAnyArguments };
    const question = toQuestion(subject, on, { circumstances, looks: set.looks });
    const verdict = toVerdict(statefulIsAuthorized({ ...question, preparsedPolicySetId: set.name }));
    return validUntilMs === undefined ? verdict : { ...verdict, validUntilMs };
  };
  if (callArguments !== undefined) return ask(callArguments, false);
  const unclear = unclearArguments(set.argumentNames);
  if (!set.looks.mentions.has("arguments")) return ask(unclear, false);
  const best = ask(unclearArguments([]), true);
  // What holds whatever the arguments are need not be asked again with them.
  const worst = best.allow && !set.isOpaque ? ask(unclear, false) : best;
  if (worst.allow && !set.isOpaque) return worst;
  return best.allow ? { ...best, variesByArguments: true } : best;
}

/** The next moment at which the same question may be answered otherwise. */
function endOf(set: ParsedSet, { nowMs, signIn }: Asked): number | undefined {
  const { atMs } = signIn;
  const ages = atMs === undefined ? [] : set.wanted.ages.map((age) => atMs + age * 1_000 + 1);
  const ends = [set.open.untilMs, ...ages.filter((end) => end > nowMs), ...(set.isTimely ? [nowMs + TIMELY_MS] : [])];
  const end = Math.min(...ends);
  return end === Infinity ? undefined : end;
}

/** Cedar leaves out a policy that fails to evaluate, a forbidding one too. Here any failure refuses. */
function toVerdict(answer: AuthorizationAnswer): Verdict {
  if (answer.type === "failure")
    return { allow: false, policyIds: [], failure: answer.errors[0]?.message ?? "unknown failure" };
  const { decision, diagnostics } = answer.response;
  const error = diagnostics.errors[0];
  if (error)
    return { allow: false, policyIds: [error.policyId], failure: `policy ${error.policyId}: ${error.error.message}` };
  return { allow: decision === "allow", policyIds: diagnostics.reason.toSorted() };
}
