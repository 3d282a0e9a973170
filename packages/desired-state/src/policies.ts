import { NAME_PATTERN, type Parsed, type Recordable } from "@tollgate/contracts";
import { z } from "zod";
import { type Conditions, conditionsShape, toConditions } from "./conditions.ts";
import { recordable, toRecordable } from "./recordable.ts";
import { EFFECTS, isAdminAction, parseAction, parsePrincipal, parseResource } from "./policy-form.ts";

// A policy as it is written: in the short form, or in Cedar itself. Messages never repeat a value.

const FORM_MAX_CHARS = 32_768;
const LIST_MAX = 256;
const CEDAR_MAX_CHARS = 16_384;
const DESCRIPTION_MAX_CHARS = 500;
/** Conditions on what only a server has. */
const SERVERS_OWN = ["environment", "risk", "arguments", "require_sandbox"] as const;

const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");

const forms = (parse: (text: string) => Parsed<unknown>) =>
  z
    .array(
      z
        .string()
        .max(FORM_MAX_CHARS)
        .superRefine((value, context) => {
          const parsed = parse(value);
          if (!parsed.ok) context.addIssue(parsed.reason);
        }),
    )
    .min(1, "is empty")
    .max(LIST_MAX, `has more than ${LIST_MAX} entries`);

export const policyShape = z.strictObject({
  name,
  description: z.string().max(DESCRIPTION_MAX_CHARS, `is longer than ${DESCRIPTION_MAX_CHARS} characters`).default(""),
  tenant: name.optional(),
  effect: z.enum(EFFECTS, `has to be ${EFFECTS.join(" or ")}`).optional(),
  principals: forms(parsePrincipal).optional(),
  actions: forms(parseAction).optional(),
  resources: forms(parseResource).optional(),
  conditions: conditionsShape.prefault({}),
  record: recordable.optional(),
  /** In the place of the four above it, of conditions and of record. */
  cedar: z.string().min(1, "is empty").max(CEDAR_MAX_CHARS, `is longer than ${CEDAR_MAX_CHARS} characters`).optional(),
});
type Shape = z.infer<typeof policyShape>;

const PARTS = ["effect", "principals", "actions", "resources"] as const;

/** The parts that the short form needs, and nothing that the other parts do not go with. */
export const policySchema = policyShape
  .superRefine((policy, context) => {
    for (const path of policy.cedar === undefined ? PARTS.filter((part) => policy[part] === undefined) : [])
      context.addIssue({ code: "custom", path: [path], message: "is missing" });
    for (const { path, message } of findClashes(policy)) context.addIssue({ code: "custom", path, message });
  })
  .transform(toPolicy);

const NO_RECORD_BESIDE_CEDAR = {
  path: ["record"],
  message: 'does not go with "cedar", where it is the annotation @record("arguments, result")',
};
const NO_RECORD_OF_ADMINISTRATION = {
  path: ["record"],
  message: "does not go with actions of administration, of which nothing is recorded whole",
};

function findClashes(policy: Shape): { path: string[]; message: string }[] {
  const { cedar, actions = [], resources = [] } = policy;
  const conditions = Object.keys(toConditions(policy.conditions));
  if (cedar !== undefined) {
    const others = [
      ...PARTS.filter((part) => policy[part] !== undefined),
      ...(conditions.length > 0 ? ["conditions"] : []),
    ];
    return [
      ...others.map((part) => ({ path: [part], message: 'does not go with "cedar", which says all of it' })),
      ...(policy.record === undefined ? [] : [NO_RECORD_BESIDE_CEDAR]),
    ];
  }
  if (!actions.some(isAdminAction)) return [];
  const lone = resources.length === 1 && resources[0] === "*";
  return [
    ...(policy.record === undefined ? [] : [NO_RECORD_OF_ADMINISTRATION]),
    ...(lone
      ? []
      : [{ path: ["resources"], message: 'has to be "*" alone: actions of administration are on no server' }]),
    ...SERVERS_OWN.filter((key) => conditions.includes(key)).map((key) => ({
      path: ["conditions", key],
      message: "does not go with actions of administration, which are on no server",
    })),
  ];
}

/** A policy whose parts are checked; see policy-form.ts for their grammar. Its Cedar text is not: that takes Cedar. */
export interface DesiredPolicy {
  readonly name: string;
  readonly description: string;
  /** Whose principals it concerns; empty: everybody's. */
  readonly tenant: string;
  readonly effect: (typeof EFFECTS)[number];
  readonly principals: readonly string[];
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions: Conditions;
  /** What of calls that it decides on is kept whole. Of one in Cedar its text says it. */
  readonly record: readonly Recordable[];
  /** What was written in Cedar; then the parts of the short form are empty, and `effect` says nothing. */
  readonly cedarText: string;
}

function toPolicy(shape: Shape): DesiredPolicy {
  const { tenant = "", effect = "deny", principals = [], actions = [], resources = [], cedar, ...rest } = shape;
  const conditions = toConditions(shape.conditions);
  const record = toRecordable(shape.record);
  return { ...rest, tenant, effect, principals, actions, resources, conditions, record, cedarText: cedar ?? "" };
}
