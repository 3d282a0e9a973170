import { loadDesiredState } from "@tollgate/desired-state";
import { afterAll, expect, test } from "vitest";
import { policyOf } from "./sample-policies.ts";
import type { SignIn, Subject, Target } from "../src/domain/cedar-question.ts";
import { deciderFor } from "../src/domain/decision.ts";
import { toWritten } from "../src/domain/policy.ts";
import { compilePolicies } from "../src/domain/state.ts";

// Decisions as a person would write them down: policies as in tollgate.yaml, and below them, line by line, who does what
// on what, the circumstances, and what comes of it by which policies.

/** Everybody's tenant is acme but for those who say another. */
const CALLERS: Readonly<Record<string, Partial<Subject> & { readonly permissions?: readonly string[] }>> = {
  dev: { team: "payments", roles: ["developer"] },
  sales: { team: "sales", roles: ["seller"] },
  ops: { team: "platform", roles: ["operator", "developer"] },
  intern: { team: "payments", roles: ["developer", "intern"] },
  globex: { tenant: "globex", team: "payments", roles: ["developer"] },
  deployer: { kind: "agent", team: "platform", roles: ["robot"] },
  alice: { kind: "user", team: "payments", roles: ["operator"] },
  admin: { team: "platform", permissions: ["mcp", "admin"] },
  only: { team: "payments", roles: ["developer"], permissions: ["mcp:disk/files"] },
  idle: { team: "payments", roles: ["developer"], permissions: [] },
};
const GROUPS: Readonly<Record<string, string>> = {
  files: "disk",
  "files-eu": "disk",
  tickets: "office",
  crm: "office",
};
/** A Monday. */
const NOON = "2027-01-04T12:00Z";

const policiesIn = (yaml: string) =>
  loadDesiredState(`policies:\n${yaml}`, { file: "table.yaml", env: {} }).policies.map((policy) => {
    const written = toWritten(policy);
    if (!written.ok) throw new Error(JSON.stringify(written.mistakes));
    return policyOf(written.value);
  });

const LINE = /^(?<who>\S+) +(?<action>\S+) +(?<what>\S+) *(?<context>.*?) *→ (?<effect>allow|deny)(?<rest>.*)$/;

/** `at=TIME from=ADDRESS env=NAME risk=LEVEL sandbox args={JSON} amr=a,b acr=NAME signed=TIME`; without args: any. */
function ask(compiled: ReturnType<typeof compilePolicies>, line: string) {
  const { who, action, what, context } = LINE.exec(line)!.groups as Record<string, string>;
  const given = Object.fromEntries(
    [...context!.matchAll(/(\w+)(?:=(\{.*\}|\S+))?/g)].map(([, key, value = "yes"]) => [key, value]),
  );
  const { permissions = ["mcp"], ...part } = CALLERS[who!]!;
  const subject: Subject = { kind: "token", id: who!, tenant: "acme", team: "", roles: [], ...part };
  const signIn: SignIn = {
    amr: given["amr"]?.split(",") ?? [],
    acr: given["acr"] ?? "",
    ...(given["signed"] === undefined ? {} : { atMs: Date.parse(given["signed"]) }),
  };
  const [server, tool = ""] = what!.split(/:(.*)/s);
  const target: Target = {
    group: GROUPS[server!] ?? "other",
    server: server!,
    tool,
    sandboxed: given["sandbox"] === "yes",
    environment: given["env"] ?? "",
    risk: given["risk"] ?? "",
  };
  const question = {
    action: action!,
    nowMs: Date.parse(given["at"] ?? NOON),
    address: given["from"] ?? "",
    arguments: given["args"],
  };
  return deciderFor(compiled, { subject, permissions, signIn }, question)(target);
}

/** `→ allow by a, b`, `→ deny`, `→ allow by a, if the arguments are`, `→ deny, step up to mfa`, `→ … until TIME`. */
export function table(yaml: string, lines: string): void {
  const compiled = compilePolicies(policiesIn(yaml));
  afterAll(() => compiled.engine.dispose());
  const rows = lines.split("\n").flatMap((line) => line.trim() || []);
  test.each(rows)("%s", (line) => {
    const { effect, rest } = LINE.exec(line)!.groups as { effect: string; rest: string };
    const decision = ask(compiled, line);
    const { acrValues, maxAge } = decision.stepUp ?? { acrValues: undefined, maxAge: undefined };
    const stepUp = acrValues && [...acrValues, ...(maxAge === 0 ? [] : [`${maxAge} s`])].join(" ");
    expect({
      allow: decision.allow,
      by: decision.policyIds.join(", "),
      varies: decision.variesByArguments,
      stepUp,
      until: rest.includes("until") ? new Date(decision.validUntilMs).toISOString().replace(/:00.000Z$/, "Z") : "",
    }).toEqual({
      allow: effect === "allow",
      by: /by ([a-z, -]+?)(?:, if|, step| until|$)/.exec(rest)?.[1] ?? "",
      varies: rest.includes("if the arguments are"),
      stepUp: /step up to ([^,]+?)(?: until|$)/.exec(rest)?.[1],
      until: /until (\S+)/.exec(rest)?.[1] ?? "",
    });
  });
}
