import { parseFrame, type ResponseFrame } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { createEraMemory, smellsOfOtherEra } from "./era-memory.ts";
import type { Answer } from "./wire.ts";

test("what is known of a server is forgotten after a while, or at once", async () => {
  const memory = createEraMemory(30);
  memory.remember("legacy");
  expect(memory.era).toBe("legacy");
  await eventually(() => expect(memory.era).toBeUndefined());
  memory.remember("modern");
  memory.forget();
  expect(memory.era).toBeUndefined();
});

const error = (code: number, message: string): Answer => {
  const parsed = parseFrame(JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code, message } }));
  if (!parsed.ok) throw new Error(parsed.reason);
  return { kind: "response", frame: parsed.frame as ResponseFrame };
};
const lost = (status?: number): Answer => ({ kind: "lost", reason: "", notDelivered: true, status });

test.each([
  ["modern", error(-32000, "Bad Request: Server not initialized"), true],
  ["modern", lost(400), true],
  ["modern", lost(), false],
  ["modern", error(-32602, "unknown tool"), false],
  ["legacy", error(-32602, "the _meta envelope is missing"), true],
  ["legacy", error(-32022, "unsupported"), true],
  ["legacy", error(-32602, "a name is missing"), false],
  ["legacy", lost(404), false],
] as const)("a server thought to be %s (%#): %s", (era, answer, other) => {
  expect(smellsOfOtherEra(era, answer)).toBe(other);
});
