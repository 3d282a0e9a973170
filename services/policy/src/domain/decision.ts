import { type Parsed, type Recordable, RISKS } from "@tollgate/contracts";
import { isAdminAction } from "@tollgate/desired-state";
import { permitsMcp } from "./access-token.ts";
import { parseAddress } from "./address.ts";
import { type CallArguments, NO_ARGUMENTS, parseArguments } from "./call-arguments.ts";
import type { Asked, CedarEngine, Verdict } from "./cedar-engine.ts";
import type { Subject, Target } from "./cedar-question.ts";
import { ALL_ACTIONS } from "./compiled-policy.ts";
import { type Asker, callerOf, type DecisionCaller } from "./principal.ts";
import type { PolicyState } from "./state.ts";
import { missingSignIn, type StepUp } from "./step-up.ts";

const SHOWN_MAX_CHARS = 200;
const KNOWN_RISKS: ReadonlySet<string> = new Set(RISKS);
/** What a list is of. */
const USES: Readonly<Record<string, string>> = {
  "tools/list": "tools/call",
  "resources/list": "resources/read",
  "prompts/list": "prompts/get",
};
const WITH_ARGUMENTS: ReadonlySet<string> = new Set(["tools/call", "prompts/get"]);

export interface Decision {
  readonly allow: boolean;
  readonly policyIds: readonly string[];
  readonly reason: string;
  /** Asked without arguments: some may be allowed, others not. */
  readonly variesByArguments: boolean;
  /** Unix milliseconds; 0: it does not depend on the time. */
  readonly validUntilMs: number;
  /** All that is missing. */
  readonly stepUp: StepUp | undefined;
  /** What is demanded beside policies that allow; nothing of this comes from policies. */
  readonly approvalsNeeded: number;
  readonly approvalId: string;
  readonly limits: readonly string[];
  readonly record: readonly Recordable[];
}

export interface Question {
  readonly principal: Asker | undefined;
  readonly action: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The client's; empty where it is not known. */
  readonly address?: string;
  /** As JSON; undefined: whether some may be allowed. */
  readonly arguments?: string | undefined;
}

type DecisionState = Pick<PolicyState, "engine" | "tokens" | "principals" | "settings" | "policies">;

/**
 * Decides for one principal and action; the answer is asked resource by resource. Default deny; a deny wins.
 * @param caller whom the principal stands for, where that is known already
 */
export function decider(
  state: DecisionState,
  question: Question,
  caller: Parsed<DecisionCaller> = callerOf(state, question),
): (target: Target) => Decision {
  return caller.ok ? deciderFor(state, caller.value, question) : () => refuse(caller.reason);
}

/** The same for a caller who is taken as given: nobody is looked up. */
export function deciderFor(
  { engine, policies }: Pick<PolicyState, "engine" | "policies">,
  { subject, permissions, signIn }: DecisionCaller,
  { action, nowMs, address = "", arguments: callArguments }: Omit<Question, "principal">,
): (target: Target) => Decision {
  if (!ALL_ACTIONS.has(action)) return () => refuse(`the action ${show(action)} is not known`);
  const given = argumentsFor(action, callArguments);
  if (!given.ok) return () => undecidable(given.reason);
  const asked = { nowMs, address: parseAddress(address), signIn, callArguments: given.value };
  const decide = askerOf({ engine, subject, asked });
  if (isAdminAction(action)) return (target) => administer(permissions, decide(action, target));
  if (!permissions.some((each) => each === "mcp" || each.startsWith("mcp:")))
    return () => refuse(`the ${subject.kind} ${show(subject.id)} lacks the permission mcp`);
  const sandboxMatters = policies.some(({ conditions }) => conditions.require_sandbox);
  return (target) => {
    if (!permitsMcp(permissions, target))
      return refuse(`the access token of ${show(subject.id)} is not meant for ${show(target.server)}`);
    const risk = target.risk === "" ? "LOW" : target.risk;
    if (!KNOWN_RISKS.has(risk)) return undecidable(`the risk ${show(risk)} is not known`);
    const decision = listed(decide, action, { ...target, risk });
    if (decision.allow || target.sandboxed || !sandboxMatters) return decision;
    const isAllLacking = listed(decide, action, { ...target, risk, sandboxed: true }).allow;
    return isAllLacking ? { ...decision, reason: `${decision.reason}: its server is in no sandbox` } : decision;
  };
}

type Decide = (action: string, target: Target) => Decision;

function askerOf(options: { engine: CedarEngine; subject: Subject; asked: Asked }): Decide {
  const { engine, subject, asked } = options;
  return (action, target) => {
    const on = { action, target };
    const verdict = engine.decide(subject, on, asked);
    const decision = explain(verdict, action, target);
    if (verdict.allow || verdict.failure !== undefined) return decision;
    const stepUp = missingSignIn(engine, subject, on, asked);
    if (stepUp === undefined) return decision;
    return { ...decision, stepUp, reason: `${decision.reason}: a stronger sign-in is missing` };
  };
}

/** A list shows what its caller may use, unless a policy denies to list it. A server as a whole is not used. */
function listed(decide: Decide, action: string, target: Target): Decision {
  const use = USES[action];
  const list = decide(action, target);
  if (use === undefined) return list;
  const used = target.tool !== "" && (list.allow || isSilent(list)) ? decide(use, target) : list;
  const ends = [list.validUntilMs, used.validUntilMs].filter((end) => end !== 0);
  const validUntilMs = ends.length === 0 ? 0 : Math.min(...ends);
  // It is shown if some arguments may be allowed, and there is nothing to ask again with.
  return { ...used, validUntilMs, variesByArguments: false };
}

/** No policy says anything. */
function isSilent({ allow, policyIds, reason }: Decision): boolean {
  return !allow && policyIds.length === 0 && !reason.startsWith(UNDECIDED);
}

/** Who has the permission needs no policy; one that denies wins all the same. */
function administer(permissions: readonly string[], decision: Decision): Decision {
  if (!isSilent(decision) || !permissions.includes("admin")) return decision;
  return { ...decision, allow: true, reason: "has the permission admin", stepUp: undefined };
}

/** Undefined: whether some may be allowed. Only calls and prompts have any. */
function argumentsFor(action: string, text: string | undefined): Parsed<CallArguments | undefined> {
  if (!WITH_ARGUMENTS.has(action) && USES[action] === undefined) return { ok: true, value: NO_ARGUMENTS };
  return text === undefined || USES[action] !== undefined ? { ok: true, value: undefined } : parseArguments(text);
}

const UNDECIDED = "could not be decided, so it is denied";

/** What policies say, and nothing beside them. */
const PLAIN = {
  variesByArguments: false,
  validUntilMs: 0,
  stepUp: undefined,
  approvalsNeeded: 0,
  approvalId: "",
  limits: [],
  record: [],
} as const;

function refuse(reason: string): Decision {
  return { ...PLAIN, allow: false, policyIds: [], reason };
}

function undecidable(failure: string): Decision {
  return refuse(`${UNDECIDED}: ${failure}`);
}

function explain(verdict: Verdict, action: string, target: Target): Decision {
  const { allow, policyIds, failure, variesByArguments = false, validUntilMs = 0 } = verdict;
  if (failure !== undefined) return { ...undecidable(failure), policyIds };
  const says = { ...PLAIN, allow, policyIds, variesByArguments, validUntilMs };
  const policies = `${policyIds.length === 1 ? "policy" : "policies"} ${policyIds.join(", ")}`;
  if (allow) return { ...says, reason: `allowed by ${policies}` };
  if (policyIds.length > 0) return { ...says, reason: `denied by ${policies}` };
  const name = target.tool === "" ? target.server : `${target.server}:${target.tool}`;
  const on = isAdminAction(action) ? "" : ` on ${name.slice(0, SHOWN_MAX_CHARS)}`;
  return { ...says, reason: `no policy allows ${action}${on}` };
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_MAX_CHARS));
}
