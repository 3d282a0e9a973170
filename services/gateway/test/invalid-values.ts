/** A JSON Schema as far as values are made from it. */
export interface ValueSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, ValueSchema>>;
  readonly items?: ValueSchema;
  readonly anyOf?: readonly ValueSchema[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
}

export interface OddValue {
  /** What is odd about it. */
  readonly what: string;
  readonly value: unknown;
}

const DEPTH_MAX = 3;
const LENGTH_MAX = 100_000;
const ODD_TEXTS = ["", "\u0000", "\ud800", "💥".repeat(40), "__proto__", "../'; DROP TABLE x; --"];
const OF_OTHER_TYPES = [null, true, 1e308, "text", [null], {}];

/** The example with one thing changed in each: left out, of another type, out of bounds, odd. */
export function oddValues(schema: ValueSchema, example: unknown, depth = 0): OddValue[] {
  const own = [
    ...OF_OTHER_TYPES.map((value) => ({ what: `is ${JSON.stringify(value)}`, value })),
    ...[...(schema.anyOf ?? []), schema].flatMap(outOfBounds),
  ];
  if (depth === DEPTH_MAX) return own;
  return [...own, ...oddMembers(schema, example, depth), ...oddItems(schema, example, depth)];
}

function outOfBounds(schema: ValueSchema): OddValue[] {
  const odd: OddValue[] = [];
  const { minimum, maximum, maxLength, maxItems } = schema;
  if (minimum !== undefined) odd.push({ what: "is too small", value: minimum - 1 });
  if (maximum !== undefined) odd.push({ what: "is too large", value: maximum + 1 });
  if (maxLength !== undefined)
    odd.push({ what: "is too long", value: "x".repeat(Math.min(maxLength, LENGTH_MAX) + 1) });
  if (maxItems !== undefined && maxItems < LENGTH_MAX)
    odd.push({ what: "has too many items", value: Array.from({ length: maxItems + 1 }, () => "x") });
  if (schema.enum !== undefined) odd.push({ what: "is no choice", value: "none-of-them" });
  if ([schema.type].flat().includes("string"))
    odd.push(...ODD_TEXTS.map((value) => ({ what: JSON.stringify(value), value })));
  return odd;
}

function oddMembers(schema: ValueSchema, example: unknown, depth: number): OddValue[] {
  if (schema.properties === undefined) return [];
  const whole = typeof example === "object" && example !== null ? (example as Record<string, unknown>) : {};
  const changed = Object.entries(schema.properties).flatMap(([name, member]) => {
    const { [name]: present, ...others } = whole;
    const left = present === undefined ? [] : [{ what: `without ${name}`, value: others }];
    const odd = oddValues(member, present, depth + 1);
    return [
      ...left,
      ...odd.map(({ what, value }) => ({ what: `${name} ${what}`, value: { ...whole, [name]: value } })),
    ];
  });
  const unknown = JSON.parse('{"__proto__":{"a":1}}') as object;
  return [
    ...changed,
    { what: "with a member that nobody knows", value: { ...whole, nobodyKnows: 1 } },
    { what: "with a prototype", value: Object.assign(Object.create(null), whole, { nested: unknown }) },
  ];
}

function oddItems(schema: ValueSchema, example: unknown, depth: number): OddValue[] {
  if (schema.items === undefined) return [];
  const first: unknown = Array.isArray(example) ? example[0] : undefined;
  return oddValues(schema.items, first, depth + 1).map(({ what, value }) => ({ what: `item ${what}`, value: [value] }));
}
