import type { SignIn, Subject, Target } from "./cedar-question.ts";
import type { Decision } from "./decision.ts";

/** What is kept of `control_plane.opa`: no secret, and of the compiled policy only which one it is. */
export interface OpaSettings {
  readonly rest: { readonly url: string; readonly path: string } | null;
  readonly wasm: { readonly sha256: string; readonly entrypoint: string } | null;
  readonly timeoutMs: number;
  readonly cacheMs: number;
  readonly sendsArguments: boolean;
  readonly actions: readonly string[];
}

/** `undecided`: it did not answer, or not in a way that could be understood. */
export type OpaAnswer =
  | { readonly kind: "allow" }
  | { readonly kind: "deny"; readonly reason: string }
  | { readonly kind: "undecided"; readonly reason: string };

/** One question, as it was put to the policies. */
export interface OpaQuestion {
  /** As this service knows who asks. */
  readonly subject: Subject;
  readonly signIn: Pick<SignIn, "amr" | "acr">;
  readonly action: string;
  readonly target: Target;
  /** Empty where it is not known. */
  readonly address: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** JSON; undefined where they are not known yet. */
  readonly callArguments: string | undefined;
}

/** How its part in a decision is named among the policies. */
const OPA_ID = "opa";

const ARGUMENTS_MAX_CHARS = 65_536;
const REASON_MAX_CHARS = 200;
/** Of text that is shown: no line breaks, no colours, nothing that turns it around. */
const UNSHOWN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const WITH_ARGUMENTS: ReadonlySet<string> = new Set(["tools/call", "prompts/get"]);

/** What it says depends on arguments that are not known yet. */
export function awaitsArguments(
  { sendsArguments }: OpaSettings,
  { action, callArguments }: Pick<OpaQuestion, "action" | "callArguments">,
): boolean {
  return sendsArguments && callArguments === undefined && WITH_ARGUMENTS.has(action);
}

/**
 * `input` as docs/configuration.md promises it, as JSON. The arguments are put in as they came: numbers that JavaScript
 * cannot hold stay what they are. Undefined where they are no JSON, or
 * too long.
 */
export function toOpaInput(settings: OpaSettings, question: OpaQuestion): string | undefined {
  const { subject, signIn, action, target, address, nowMs } = question;
  const callArguments = settings.sendsArguments ? question.callArguments : undefined;
  const { id, kind, tenant, team, roles } = subject;
  const { group, server, tool: name, environment, risk, sandboxed } = target;
  const input = {
    principal: { id, kind, tenant, team, roles, amr: signIn.amr, acr: signIn.acr },
    action,
    // As elsewhere: what says nothing of its risk has a low one.
    resource: { group, server, name, environment, risk: risk === "" ? "LOW" : risk, sandboxed },
    address,
    time: new Date(nowMs).toISOString(),
  };
  const text = JSON.stringify(input);
  if (callArguments === undefined) return text;
  return isJson(callArguments) ? `${text.slice(0, -1)},"arguments":${callArguments}}` : undefined;
}

function isJson(text: string): boolean {
  if (text.length > ARGUMENTS_MAX_CHARS) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** @param result of the rule: true, false, `{allow, reason}`, or undefined where no rule says anything. */
export function readOpaResult(result: unknown): OpaAnswer {
  if (result === undefined) return { kind: "deny", reason: "its policy says nothing of this" };
  if (typeof result === "boolean") return result ? { kind: "allow" } : { kind: "deny", reason: "" };
  const { allow, reason } = (result ?? {}) as Readonly<Record<string, unknown>>;
  if (allow === true) return { kind: "allow" };
  if (allow === false) return { kind: "deny", reason: typeof reason === "string" ? shown(reason) : "" };
  return undecided("OPA's answer is neither true or false nor {allow, reason}");
}

export function undecided(reason: string): OpaAnswer {
  return { kind: "undecided", reason };
}

/** A deny wins; without one, all have to allow. */
export function combineOpaAnswers(answers: readonly OpaAnswer[]): OpaAnswer {
  const decisive =
    answers.find(({ kind }) => kind === "deny") ?? answers.find(({ kind }) => kind === "undecided") ?? answers[0];
  return decisive ?? undecided("there is no OPA to ask");
}

/** What becomes of a decision to allow. */
export function withOpaAnswer(
  allowed: Decision,
  answer: OpaAnswer,
  { cacheMs, nowMs }: { readonly cacheMs: number; readonly nowMs: number },
): Decision {
  const untilMs = nowMs + cacheMs;
  const validUntilMs = allowed.validUntilMs === 0 ? untilMs : Math.min(allowed.validUntilMs, untilMs);
  if (answer.kind === "allow") {
    const policyIds = [...allowed.policyIds, OPA_ID];
    return { ...allowed, policyIds, reason: `${allowed.reason} and by OPA`, validUntilMs };
  }
  const denied = { ...allowed, allow: false, policyIds: [OPA_ID] };
  // One that could not be asked may be back in a moment.
  if (answer.kind === "undecided")
    return { ...denied, reason: `could not be decided, so it is denied: ${answer.reason}`, validUntilMs: nowMs };
  return {
    ...denied,
    reason: answer.reason === "" ? "denied by OPA" : `denied by OPA: ${answer.reason}`,
    validUntilMs,
  };
}

function shown(text: string): string {
  return text.slice(0, REASON_MAX_CHARS).replace(UNSHOWN, " ").trim();
}
