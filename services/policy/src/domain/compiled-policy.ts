import { ACTIONS, ADMIN_ACTIONS } from "@tollgate/desired-state";
import { checkCedarText } from "./cedar-check.ts";
import { toCedarText } from "./cedar-text.ts";
import type { PolicyRecord, WrittenPolicy } from "./policy.ts";
import { windowText } from "./windows.ts";

/** A policy's Cedar text, with what is known of it without evaluating it. */
export interface CompiledText {
  readonly cedar: string;
  /** What of the context it looks at. */
  readonly mentions: ReadonlySet<string>;
  /** Canonical texts of windows. */
  readonly windows: readonly string[];
  /** Who it names: `*` where that can be anybody. */
  readonly principals: ReadonlySet<string>;
  /** Which actions it can be about. */
  readonly actions: ReadonlySet<string>;
}

export interface CompiledPolicy extends PolicyRecord {
  readonly cedar: string;
  readonly compiled: CompiledText;
}

const EVERYBODY: ReadonlySet<string> = new Set(["*"]);
export const ALL_ACTIONS: ReadonlySet<string> = new Set([...ACTIONS, ...ADMIN_ACTIONS]);

/** @throws {Error} when it does not compile; whoever took the policy in has checked that */
export function compile(policy: WrittenPolicy): CompiledText {
  if (policy.cedarText !== "") return compileCedar(policy.cedarText);
  const window = windowText(policy.conditions);
  return {
    cedar: toCedarText(policy),
    mentions: mentionsOf(policy),
    windows: window === undefined ? [] : [window],
    principals: new Set(policy.principals),
    actions: new Set(policy.actions.flatMap(actionsOf)),
  };
}

function compileCedar(cedar: string): CompiledText {
  const check = checkCedarText(cedar);
  if (!check.ok) throw new Error(`a policy's Cedar text ${check.line}:${check.column} ${check.message}`);
  const { context: mentions, texts: windows } = check.mentions;
  return { cedar, mentions, windows, principals: EVERYBODY, actions: ALL_ACTIONS };
}

function mentionsOf({ conditions }: WrittenPolicy): ReadonlySet<string> {
  const { network, mfa, acr, max_sign_in_age: age, arguments: tests } = conditions;
  return new Set([
    ...(network ? ["address"] : []),
    ...(windowText(conditions) === undefined ? [] : ["windows"]),
    ...(mfa ? ["mfa"] : []),
    ...(acr ? ["acr"] : []),
    ...(age ? ["now", "signedInAt"] : []),
    ...(tests ? ["arguments"] : []),
  ]);
}

function actionsOf(text: string): readonly string[] {
  if (text === "*") return ACTIONS;
  return text === "admin/*" ? ADMIN_ACTIONS : [text];
}
