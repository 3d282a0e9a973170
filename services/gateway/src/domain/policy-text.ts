/** A policy as the API shows it, without what says who made it when. */
export interface PolicyParts {
  readonly id: string;
  readonly description: string;
  readonly tenant: string;
  readonly effect: string;
  readonly principals: readonly string[];
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions: Readonly<Record<string, unknown>>;
  readonly record: readonly string[];
  readonly isCedar: boolean;
  readonly cedar: string;
}

/** An entry of `policies` in tollgate.yaml. Values are written as JSON, which YAML holds. */
export function policyYaml(policy: PolicyParts): string {
  const lines = [`name: ${policy.id}`];
  for (const [field, value] of Object.entries(fieldsOf(policy))) {
    if (Array.isArray(value)) lines.push(`${field}:`, ...value.map((each) => `  - ${JSON.stringify(each)}`));
    else if (field === "conditions") lines.push(`${field}:`, ...linesOf(value as object, 1));
    else if (field === "cedar")
      lines.push(
        "cedar: |",
        ...String(value)
          .split("\n")
          .map((line) => `  ${line}`),
      );
    else lines.push(`${field}: ${JSON.stringify(value)}`);
  }
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

function linesOf(value: object, depth: number): string[] {
  const indent = "  ".repeat(depth);
  return Object.entries(value).flatMap(([key, given]: [string, unknown]) => {
    const name = /^[a-z_]+$/.test(key) ? key : JSON.stringify(key);
    const isNested =
      typeof given === "object" && given !== null && !Array.isArray(given) && Object.keys(given).length > 0;
    return isNested
      ? [`${indent}${name}:`, ...linesOf(given, depth + 1)]
      : [`${indent}${name}: ${JSON.stringify(given)}`];
  });
}

/** What the policy says, without what it leaves out. */
function fieldsOf(policy: PolicyParts): Record<string, unknown> {
  const { description, tenant, effect, principals, actions, resources, conditions, record, isCedar, cedar } = policy;
  return {
    ...(description === "" ? {} : { description }),
    ...(tenant === "" ? {} : { tenant }),
    ...(isCedar ? { cedar } : { effect, principals, actions, resources }),
    ...(Object.keys(conditions).length === 0 ? {} : { conditions }),
    // In Cedar's text it is an annotation.
    ...(isCedar || record.length === 0 ? {} : { record }),
  };
}

export interface ChangedField {
  readonly field: string;
  /** Null where it was, or is, left out. */
  readonly from: unknown;
  readonly to: unknown;
}

/** @param before undefined where there was no policy; likewise `after` */
export function changedFields(before: PolicyParts | undefined, after: PolicyParts | undefined): ChangedField[] {
  const from = before === undefined ? {} : fieldsOf(before);
  const to = after === undefined ? {} : fieldsOf(after);
  const names = new Set([...Object.keys(from), ...Object.keys(to)]);
  return [...names]
    .filter((field) => JSON.stringify(from[field]) !== JSON.stringify(to[field]))
    .map((field) => ({ field, from: from[field] ?? null, to: to[field] ?? null }));
}
