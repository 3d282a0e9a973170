import { policyV1 } from "@tollgate/contracts";
import { callEvent, refusalEvent } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { differenceOf, isDecided, toRecordedCall } from "./recorded-calls.ts";

const decision = { allow: false, policies: [], revision: 3, reason: "no policy allows tools/call on files:x" };
const refused = refusalEvent({ decision, endedAt: 2_000 });

describe("what was recorded", () => {
  test("is the question that was asked then, with all its facts", () => {
    const event = callEvent({
      principal: "user:ann",
      roles: ["developer"],
      credential: "https://issuer.example.com",
      address: "192.0.2.1",
      environment: "production",
      risk: "HIGH",
      sandboxed: true,
      amr: ["pwd", "mfa"],
      acr: "gold",
      signedInAt: 500,
      acceptedAt: 1_000,
    });
    expect(isDecided(event) && toRecordedCall(event)).toEqual({
      id: event.id,
      question: {
        principal: {
          id: "user:ann",
          tenant: "acme",
          team: "platform",
          roles: ["developer"],
          permissions: [],
          credential: "https://issuer.example.com",
          amr: ["pwd", "mfa"],
          acr: "gold",
          authenticatedAtMs: 500n,
        },
        action: "tools/call",
        resources: [
          {
            group: "demo",
            server: "everything",
            tool: "echo",
            sandboxed: true,
            environment: "production",
            risk: "HIGH",
          },
        ],
        address: "192.0.2.1",
        arguments: undefined,
      },
      atMs: 1_000n,
    });
  });

  test.each([
    ["prompts/get", "greet", "prompts/get"],
    ["resources/subscribe", "file:///a", "resources/read"],
    ["completion/complete", "greet", "prompts/get"],
    ["completion/complete", "file:///{path}", "resources/read"],
    ["tasks/result", "echo", "tools/call"],
    ["logging/setLevel", "", undefined],
  ])("of %s %s needed %s", (method, tool, action) => {
    const event = callEvent({ method, tool });
    expect(isDecided(event) && toRecordedCall(event)?.question?.action).toBe(action);
  });

  test("counts only where policies were asked", () => {
    expect(isDecided(refused)).toBe(true);
    expect(isDecided(refusalEvent({ code: "overloaded", decision }))).toBe(false);
    expect(isDecided(refusalEvent({ code: "unauthenticated" }))).toBe(false);
    expect(isDecided(refusalEvent({}))).toBe(false);
  });
});

describe("the difference of", () => {
  const now = (fields: Partial<policyV1.Decision>) => policyV1.Decision.fromPartial(fields);
  const call = callEvent();
  const refusedAs = (reason: string) => ({ ...refused, decision: { ...decision, reason } });
  const waiting = refusedAs("allowed by policy p, but 2 people have to approve of it first");
  const SOME = { allow: true, variesByArguments: true };
  const kindOf = (event: object, said: Partial<policyV1.Decision>) =>
    differenceOf(event as Parameters<typeof differenceOf>[0], now(said))?.kind;

  test.each<[string, object, Partial<policyV1.Decision>, string | undefined]>([
    ["an allowed call, still allowed by others", call, { allow: true, policyIds: ["other"] }, undefined],
    ["an allowed call, denied", call, { allow: false }, "changed"],
    ["an allowed call, allowed with some arguments", call, SOME, "undetermined"],
    ["an allowed call, denied with any arguments", call, { allow: false, variesByArguments: true }, "changed"],
    ["a refusal, still refused", refused, { allow: false }, undefined],
    ["a refusal, allowed", refused, { allow: true }, "changed"],
    ["a refusal, allowed with some arguments", refused, SOME, "undetermined"],
    ["a refusal for want of approvals, allowed", waiting, { allow: true }, undefined],
    ["a refusal for want of approvals, allowed with some arguments", waiting, SOME, undefined],
    ["a refusal for want of approvals, denied", waiting, { allow: false }, undefined],
    ["a refusal by OPA, allowed", refusedAs("denied by OPA: not today"), { allow: true }, undefined],
    [
      "a refusal that was no policy's, allowed",
      refusedAs("could not be decided, so it is denied"),
      { allow: true },
      "undetermined",
    ],
    ["a refusal that was no policy's, denied", refusedAs("the token is not known"), { allow: false }, undefined],
    ["a refusal by policies, allowed", refusedAs("denied by policies a, b"), { allow: true }, "changed"],
  ])("%s", (_what, event, said, kind) => expect(kindOf(event, said)).toBe(kind));
});
