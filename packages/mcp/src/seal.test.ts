import fc from "fast-check";
import { expect, test } from "vitest";
import { createSealers, type SealedTask } from "./seal.ts";

const task: SealedTask = { tenant: "acme", principal: "ann", server: "demo", task: "täsk 1", tool: "slow" };

test("what was sealed comes back, by the same key and for the same purpose only", () => {
  const sealers = createSealers("key");
  const sealed = sealers.task.seal(task);
  expect(sealed).toMatch(/^[A-Za-z0-9_.-]+$/);
  expect(sealers.task.open(sealed)).toEqual(task);
  expect(sealers.state.open(sealed)).toBeUndefined();
  expect(createSealers("other key").task.open(sealed)).toBeUndefined();
});

test("one changed character makes it void, and nothing that a client sends throws", () => {
  const sealers = createSealers("key");
  const sealed = sealers.task.seal(task);
  fc.assert(
    fc.property(fc.nat(sealed.length - 1), fc.constantFrom(...Array.from("AZaz09-_.")), (at, character) => {
      const changed = sealed.slice(0, at) + character + sealed.slice(at + 1);
      const opened = sealers.task.open(changed);
      // The last character of base64url holds bits that mean nothing.
      if (changed !== sealed && at < sealed.length - 1) expect(opened).toBeUndefined();
    }),
  );
  fc.assert(fc.property(fc.anything(), (given) => sealers.task.open(given) === undefined));
  fc.assert(fc.property(fc.string(), (given) => sealers.task.open(`tg1.${given}`) === undefined));
});
