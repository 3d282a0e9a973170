import { readFile } from "node:fs/promises";
import { type AuditEvent, KINDS, parseAuditEvent } from "@tollgate/contracts";
import { callEvent, refusalEvent } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { eventSchema, openEventSchema } from "./event-schema.ts";

// docs/events.md and docs/events.schema.json, held to the types and to each other.

type Presence<T> = { readonly [K in keyof T]-?: object extends Pick<T, K> ? "optional" : "required" };
/** The compiler sees to it that these are the types' fields, all of them. */
const FIELDS: { readonly [K in AuditEvent["kind"]]: Presence<Extract<AuditEvent, { kind: K }>> } = {
  call: {
    ...everyEvents(),
    ...callers("required"),
    ...facts(),
    group: "required",
    server: "required",
    tool: "required",
    method: "required",
    protocol: "required",
    decision: "required",
    acceptedAt: "required",
    requestBytes: "required",
    traceparent: "optional",
    session: "optional",
    outcome: "required",
    reason: "optional",
    errorCode: "optional",
    startedAt: "optional",
    queueMs: "required",
    durationMs: "required",
    responseBytes: "required",
    runner: "required",
    coldStart: "required",
    coldStartCalls: "optional",
    cpuMs: "optional",
    argumentsHash: "optional",
    resultHash: "optional",
    recorded: "optional",
    attempts: "optional",
    apiRequests: "optional",
    fallback: "optional",
  },
  refusal: {
    ...everyEvents(),
    ...callers("optional"),
    ...facts(),
    code: "required",
    reason: "required",
    method: "required",
    transport: "optional",
    group: "optional",
    server: "optional",
    tool: "optional",
    decision: "optional",
    count: "required",
  },
  approval: {
    ...everyEvents(),
    change: "required",
    approval: "required",
    principal: "required",
    by: "optional",
    group: "required",
    server: "required",
    tool: "required",
    risk: "required",
    reason: "required",
  },
  alert: {
    ...everyEvents(),
    code: "required",
    principal: "optional",
    group: "optional",
    server: "optional",
    tool: "optional",
    approval: "optional",
    address: "optional",
    reason: "required",
  },
  change: {
    ...everyEvents(),
    change: "required",
    resource: "required",
    name: "required",
    principal: "required",
    before: "optional",
    after: "optional",
    truncated: "optional",
    revision: "optional",
    group: "optional",
    server: "optional",
    tool: "optional",
    address: "optional",
    reason: "optional",
  },
  secret: {
    ...everyEvents(),
    secret: "required",
    purpose: "required",
    principal: "required",
    group: "optional",
    server: "optional",
  },
  server: {
    ...everyEvents(),
    state: "required",
    group: "required",
    server: "required",
    runner: "required",
    reason: "optional",
    count: "optional",
  },
  access: {
    ...everyEvents(),
    action: "required",
    principal: "required",
    address: "optional",
    query: "required",
    count: "required",
  },
  budget: {
    ...everyEvents(),
    budget: "required",
    key: "required",
    threshold: "required",
    spent: "required",
    amount: "required",
    currency: "required",
    periodFrom: "required",
    reason: "required",
  },
};

function everyEvents() {
  return { v: "required", kind: "required", id: "required", tenant: "required", endedAt: "required" } as const;
}
function callers<P>(presence: P) {
  return { principal: presence, team: presence, client: presence } as const;
}
function facts() {
  const optional = "optional" as const;
  const signIn = { amr: optional, acr: optional, signedInAt: optional, credential: optional };
  return {
    roles: optional,
    address: optional,
    environment: optional,
    risk: optional,
    sandboxed: optional,
    ...signIn,
  } as const;
}

const text = await readFile(new URL("../../../docs/events.md", import.meta.url), "utf8");
const HEADINGS: Readonly<Record<AuditEvent["kind"], string>> = {
  call: "A call",
  refusal: "A refusal",
  approval: "An approval",
  alert: "An alert",
  change: "A change",
  secret: "A secret",
  server: "A server",
  access: "An access",
  budget: "A budget",
};

/** The fields that a section's table names. */
function documented(heading: string): string[] {
  const section = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`));
  const table = /^\| field [^]*?(?=\n\n|$(?![^]))/m.exec(section ?? "")?.[0] ?? "";
  return [...table.matchAll(/^\| (`[^|]+) *\|/gm)].flatMap(([, names]) =>
    [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!),
  );
}

describe.each(KINDS)("of a %s", (kind) => {
  const fields = FIELDS[kind] as Readonly<Record<string, "required" | "optional">>;
  const schema = eventSchema.$defs[kind]!;

  test("docs/events.md names each field, once", () => {
    const names = [...documented("What every event has"), ...documented(HEADINGS[kind])];
    expect(names.toSorted()).toEqual(Object.keys(fields).toSorted());
  });

  test("the schema has the same fields, and demands those that are always there", () => {
    expect(Object.keys(schema.properties).toSorted()).toEqual(Object.keys(fields).toSorted());
    const required = Object.keys(fields).filter((name) => fields[name] === "required");
    expect(schema.required.toSorted()).toEqual(required.toSorted());
  });
});

describe("the schema", () => {
  const { problemsOf } = openEventSchema();

  test("takes the document's example and the tests' samples, as readers do", () => {
    const example = /^```json\n([^]*?)^```$/m.exec(text)![1]!;
    expect(problemsOf(JSON.parse(example))).toEqual([]);
    expect(parseAuditEvent(example)).toMatchObject({ ok: true });
    for (const event of [callEvent(), refusalEvent()]) expect(problemsOf(event)).toEqual([]);
  });

  test.each<[string, object]>([
    ["an unknown kind", { ...callEvent(), kind: "rumour" }],
    ["another version", { ...callEvent(), v: 2 }],
    ["another outcome", { ...callEvent(), outcome: "fine" }],
    ["a field that is missing", { ...callEvent(), runner: undefined }],
    ["a time with a fraction", { ...callEvent(), endedAt: 1.5 }],
    ["an id that is none", { ...refusalEvent(), id: "1" }],
    ["a field that is not known, where that matters", { ...callEvent(), arguments: {} }],
  ])("refuses %s", (_name, event) => {
    expect(problemsOf(JSON.parse(JSON.stringify(event)))).not.toEqual([]);
  });

  test("leaves room to grow, for readers of today", () => {
    const { problemsOf: problemsForReaders } = openEventSchema({ grows: true });
    expect(problemsForReaders({ ...callEvent(), newField: 1 })).toEqual([]);
    expect(problemsForReaders({ ...callEvent(), kind: "rumour" })).not.toEqual([]);
  });
});
