import { type DetailedError, type PolicyJson, policyToJson, validate } from "@cedar-policy/cedar-wasm/nodejs";
import type { Recordable } from "@tollgate/contracts";
import { parseRecordable } from "@tollgate/desired-state";
import type { Effect } from "./policy.ts";
import { CEDAR_SCHEMA } from "./cedar-schema.ts";

/** What is found in a policy that was written in Cedar. */
export type CedarCheck =
  | {
      readonly ok: true;
      readonly effect: Effect;
      readonly mentions: CedarMentions;
      readonly record: readonly Recordable[];
    }
  | { readonly ok: false; readonly message: string; readonly line: number; readonly column: number };

/** What of a question a policy looks at; what no policy of a set looks at is not worked out. */
export interface CedarMentions {
  /** Attributes of the context. */
  readonly context: ReadonlySet<string>;
  /** Texts in it, of which some may be those of windows. */
  readonly texts: readonly string[];
}

const CONTEXT_ATTRIBUTES = ["address", "windows", "now", "mfa", "acr", "amr", "signedInAt", "arguments"] as const;

/** One policy in Cedar: whether it parses, is no template, and fits the schema. */
export function checkCedarText(text: string): CedarCheck {
  const answer = validate({ schema: CEDAR_SCHEMA, policies: { staticPolicies: { policy: text } } });
  const error = answer.type === "failure" ? answer.errors[0] : answer.validationErrors[0]?.error;
  if (error !== undefined) return { ok: false, message: messageOf(error), ...placeOf(text, error) };
  const parsed = policyToJson(text);
  if (parsed.type === "failure") return { ok: false, message: "is no policy", line: 1, column: 1 };
  const effect = parsed.json.effect === "permit" ? "allow" : "deny";
  const record = recordOf(parsed.json);
  if (record === undefined) return { ok: false, message: WRONG_RECORD, ...placeAt(text, text.indexOf("@record")) };
  return { ok: true, effect, mentions: mentionsOf(parsed.json), record };
}

/** Without what Cedar says of the name that was made up for it. */
function messageOf({ message, help }: DetailedError): string {
  const plain = message.replace(/^for policy `policy`, |^failed to parse policy with id `policy` from string: /, "");
  return help ? `${plain} (${help.replace(/^for policy `policy`, /, "")})` : plain;
}

/** Cedar counts bytes. */
function placeOf(text: string, { sourceLocations }: DetailedError): { line: number; column: number } {
  const start = sourceLocations?.[0]?.start ?? 0;
  return placeAt(text, Buffer.from(text).subarray(0, start).toString().length);
}

function placeAt(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, Math.max(0, at)).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

const WRONG_RECORD = 'the annotation @record has to be "arguments", "result" or "arguments, result"';

/** `@record("arguments, result")`: what of the calls that it decides on is kept whole. Undefined when it says nothing known. */
function recordOf({ annotations }: PolicyJson): Recordable[] | undefined {
  const given = annotations?.["record"];
  return given === undefined ? [] : parseRecordable(given ?? "");
}

/** Looks through the policy as Cedar has parsed it: in its text a name may be written with escapes. */
function mentionsOf(policy: PolicyJson): CedarMentions {
  const context = new Set<string>();
  const texts: string[] = [];
  const waiting: unknown[] = [policy.conditions];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (typeof node === "string") texts.push(node);
    if (typeof node !== "object" || node === null) continue;
    const attribute = contextAttribute(node);
    if (attribute !== undefined) context.add(attribute);
    // The context as a whole, not one of its attributes.
    else if ("Var" in node && node.Var === "context") for (const each of CONTEXT_ATTRIBUTES) context.add(each);
    else waiting.push(...Object.values(node));
  }
  return { context, texts };
}

/** The `acr` of `context.acr` and `context has acr`. */
function contextAttribute(node: object): string | undefined {
  const access = (node as Record<string, unknown>)["."] ?? (node as Record<string, unknown>)["has"];
  const { left, attr } = (access ?? {}) as { left?: { Var?: unknown }; attr?: string | string[] };
  return left?.Var === "context" ? [attr].flat()[0] : undefined;
}
