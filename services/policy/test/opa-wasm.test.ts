import { afterEach, expect, test } from "vitest";
import type { OpaEngine } from "../src/clients/opa-engine.ts";
import { openOpaWasm } from "../src/clients/opa-wasm.ts";
import { opaModule } from "./opa-module.ts";

const LONG_MS = 20_000;
const opened: OpaEngine[] = [];
afterEach(() => {
  for (const engine of opened.splice(0)) engine.close();
});

async function open(module: Parameters<typeof opaModule>[0]): Promise<OpaEngine> {
  const engine = await openOpaWasm({ bytes: opaModule(module), entrypoint: "tollgate/allow" });
  opened.push(engine);
  return engine;
}

const ask = (engine: OpaEngine, input: unknown, ms = LONG_MS) =>
  engine.ask(JSON.stringify(input), AbortSignal.timeout(ms));

test("each input has the answer of the rule that fits", async () => {
  const engine = await open({
    rules: [
      ['"risk":"CRITICAL"', { result: { allow: false, reason: "not today" } }],
      ['"team":"payments"', { result: true }],
      ['"team":"odd"', { result: "yes" }],
      ['"team":"unheard"', "undefined"],
    ],
    otherwise: { result: false },
  });
  const inputs = [
    { team: "payments" },
    { team: "payments", risk: "CRITICAL" },
    {},
    { team: "odd" },
    { team: "unheard" },
  ];
  expect(await Promise.all(inputs.map((input) => ask(engine, input)))).toEqual([
    { kind: "allow" },
    { kind: "deny", reason: "not today" },
    { kind: "deny", reason: "" },
    { kind: "undecided", reason: expect.stringContaining("neither true or false") },
    { kind: "deny", reason: expect.stringContaining("says nothing") },
  ]);
});

test("many inputs, each gets its own answer", async () => {
  const engine = await open({ rules: [["odd", { result: true }]], otherwise: { result: false } });
  const kinds = await Promise.all(
    Array.from({ length: 500 }, async (_, i) => (await ask(engine, { i, is: i % 2 === 1 ? "odd" : "even" })).kind),
  );
  expect(kinds).toEqual(Array.from({ length: 500 }, (_, i) => (i % 2 === 1 ? "allow" : "deny")));
});

test("one that does not end is ended, and the next input is answered", async () => {
  const engine = await open({ rules: [["for ever", "loop"]], otherwise: { result: true } });
  await expect(ask(engine, "for ever", 200)).rejects.toThrow("OPA's policy was not done in time");
  expect(await ask(engine, "short")).toEqual({ kind: "allow" });
});

test("what waits behind one that does not end is refused in its own time, or answered after it", async () => {
  const engine = await open({ rules: [["for ever", "loop"]], otherwise: { result: true } });
  const endless = ask(engine, "for ever", 500);
  const waiting = [ask(engine, "short", 100), ask(engine, "patient")];
  await expect(waiting[0]).rejects.toThrow("OPA's policy was not done in time");
  await expect(endless).rejects.toThrow("OPA's policy was not done in time");
  expect(await waiting[1]).toEqual({ kind: "allow" });
});

test.each([
  ["trap", "unreachable"],
  ["garbage", "JSON"],
  ["huge", ""],
  ["grow", "unreachable"],
] as const)("one that fails (%s) is no answer, and the next input is answered", async (deed, cause) => {
  const engine = await open({ rules: [["bad", deed]], otherwise: { result: true } });
  const failure = ask(engine, "bad");
  await expect(failure).rejects.toThrow(/^OPA's policy cannot be evaluated$/);
  await expect(failure).rejects.toMatchObject({ cause: { message: expect.stringContaining(cause) } });
  expect(await ask(engine, "good")).toEqual({ kind: "allow" });
});

test("what is no compiled policy is refused, with why", async () => {
  const refused = (bytes: Uint8Array<ArrayBuffer>, why: string | RegExp, entrypoint = "tollgate/allow") =>
    expect(openOpaWasm({ bytes, entrypoint })).rejects.toThrow(why);
  await refused(Uint8Array.from([1, 2, 3]), /WebAssembly/);
  await refused(new Uint8Array(), /WebAssembly/);
  const module = opaModule({ otherwise: "undefined" });
  await refused(module.slice(0, -10), /WebAssembly/);
  await refused(module, "it has no entrypoint other/rule, but tollgate/allow", "other/rule");
});

test("once closed it answers nothing", async () => {
  const engine = await open({ rules: [["for ever", "loop"]], otherwise: { result: true } });
  const endless = ask(engine, "for ever");
  engine.close();
  await expect(endless).rejects.toThrow("OPA's policy cannot be evaluated");
  await expect(ask(engine, "short")).rejects.toThrow("OPA's policy cannot be evaluated");
});
