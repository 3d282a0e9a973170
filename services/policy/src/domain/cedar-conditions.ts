import type { ArgumentTest, Conditions } from "@tollgate/desired-state";
import { toDecimal } from "./call-arguments.ts";
import { quote } from "./cedar-schema.ts";
import type { Effect } from "./policy.ts";
import { windowText } from "./windows.ts";

// The conditions of a policy in the short form, in Cedar. What is not known lets an allow not hold and a deny hold.

/** Tests of which all have to hold. */
export function conditionTests(effect: Effect, conditions: Conditions): string[] {
  const { environment, risk, network, require_sandbox } = conditions;
  const window = windowText(conditions);
  const isAllow = effect === "allow";
  return [
    environment && `${textSet(environment)}.contains(resource.environment)`,
    window && `context.windows.contains(${quote(window)})`,
    network && networkTest(network, isAllow),
    risk && `${textSet(risk)}.contains(resource.risk)`,
    signInTest(conditions, isAllow),
    ...Object.entries(conditions.arguments ?? {}).map(([name, test]) => argumentTest(name, test, isAllow)),
    // Both ways it is the bare server that loses.
    require_sandbox && (isAllow ? "resource.sandboxed" : "!resource.sandboxed"),
  ].filter((test) => typeof test === "string");
}

function networkTest(network: readonly string[], isAllow: boolean): string {
  const inside = network.map((each) => `context.address.isInRange(ip(${quote(each)}))`).join(" || ");
  return `(if context has address then (${inside}) else ${!isAllow})`;
}

/** A deny holds where the sign-in falls short of any of them. */
function signInTest({ mfa, acr, max_sign_in_age: age }: Conditions, isAllow: boolean): string | undefined {
  const tests = [
    mfa && "context.mfa",
    acr && `${textSet(acr)}.contains(context.acr)`,
    age && `context has signedInAt && context.now.durationSince(context.signedInAt) <= duration("${age}s")`,
  ].filter((test) => typeof test === "string");
  if (tests.length === 0) return undefined;
  return isAllow ? tests.join(" && ") : `!(${tests.join(" && ")})`;
}

const TYPES = ["texts", "numbers", "flags"] as const;

/** An argument of another type than the test speaks of is not understood. One that is not there passes no test. */
function argumentTest(name: string, test: ArgumentTest, isAllow: boolean): string {
  const type = typeOf(test);
  const has = (each: string, of = name) => `context.arguments.${each}.hasTag(${quote(of)})`;
  const holds = `${has(type)} && ${valueTest(`context.arguments.${type}.getTag(${quote(name)})`, test)}`;
  if (isAllow) return `(context.arguments.any || (${holds}))`;
  const outer = outerNames(name);
  const unclear = `context.arguments.unclear.containsAny(${textSet([name, ...outer.map((each) => `${each}.*`)])})`;
  const others = TYPES.filter((each) => each !== type).map((each) => has(each));
  // A text in the place of an object may be read as one.
  const texts = outer.map((each) => has("texts", each));
  return `!context.arguments.any && ((${holds}) || ${[unclear, ...others, ...texts].join(" || ")})`;
}

function typeOf(test: ArgumentTest): (typeof TYPES)[number] {
  const value = test.is ?? test.in?.[0] ?? test.like ?? test.min ?? test.max;
  if (typeof value === "boolean") return "flags";
  return typeof value === "number" ? "numbers" : "texts";
}

function valueTest(value: string, { is, in: among, like, min, max }: ArgumentTest): string {
  if (is !== undefined) return `${value} == ${literal(is)}`;
  if (among !== undefined) return `[${among.map(literal).join(", ")}].contains(${value})`;
  if (like !== undefined) return `${value} like ${quote(like)}`;
  const ends = [
    min === undefined ? undefined : `${value}.greaterThanOrEqual(${literal(min)})`,
    max === undefined ? undefined : `${value}.lessThanOrEqual(${literal(max)})`,
  ];
  return ends.filter((end) => end !== undefined).join(" && ");
}

function literal(value: string | number | boolean): string {
  if (typeof value === "string") return quote(value);
  return typeof value === "boolean" ? String(value) : `decimal("${toDecimal(value)}")`;
}

/** `a` and `a.b` of `a.b.c`. */
function outerNames(name: string): string[] {
  const steps = name.split(".");
  return steps.slice(1).map((_, index) => steps.slice(0, index + 1).join("."));
}

function textSet(texts: readonly string[]): string {
  return `[${texts.map(quote).join(", ")}]`;
}
