import fc from "fast-check";
import { expect, test } from "vitest";
import { createAdmission } from "./admission.ts";

test("one tenant's flood leaves room for others", () => {
  const admission = createAdmission({ max: 3, perTenantMax: 2 });
  admission.enter("acme");
  admission.enter("acme");
  expect(() => admission.enter("acme")).toThrow("tenant acme has 2 calls under way, the most it may have");
  admission.enter("rival");
  expect(() => admission.enter("third")).toThrow("3 calls are under way, the most this gateway takes");
  admission.leave("acme");
  admission.enter("third");
  expect(admission.underWay).toBe(3);
});

test("a refusal says when to come back", () => {
  const admission = createAdmission({ max: 0, perTenantMax: 1 });
  let thrown: unknown;
  try {
    admission.enter("acme");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "overloaded", retryable: true, details: { retryAfterSeconds: 1 } });
});

test("whoever enters and leaves, the counts are those of who is in", () => {
  const step = fc.record({ tenant: fc.constantFrom("a", "b", "c"), enter: fc.boolean() });
  const bounds = fc.record({ max: fc.integer({ min: 0, max: 8 }), perTenantMax: fc.integer({ min: 0, max: 4 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), bounds, (steps, { max, perTenantMax }) => {
      const admission = createAdmission({ max, perTenantMax });
      const inside: string[] = [];
      const own = (tenant: string) => inside.filter((each) => each === tenant).length;
      for (const { tenant, enter } of steps) {
        if (enter) {
          const fits = inside.length < max && own(tenant) < perTenantMax;
          if (fits) admission.enter(tenant);
          else expect(() => admission.enter(tenant)).toThrow("under way");
          if (fits) inside.push(tenant);
        } else if (own(tenant) > 0) {
          admission.leave(tenant);
          inside.splice(inside.indexOf(tenant), 1);
        }
        expect(admission.underWay).toBe(inside.length);
      }
    }),
  );
});
