import { publishAnswer } from "@tollgate/bus";
import { runnerOfQuestion } from "@tollgate/contracts";
import { createSealers } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { assignment } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";
import type { CallOptions } from "./traffic.ts";

const { traffic, ask, call, ...fixture } = useRunner(() => [
  assignment(),
  assignment({ serverId: "modern", env: { FIXTURE_ERA: "modern" } }),
  assignment({ serverId: "curious", env: { FIXTURE_ERA: "modern" }, sessionContext: true, clientCapabilities: [] }),
]);
const sealers = () => createSealers(fixture.serviceKey);

const ALL = { sampling: {}, elicitation: { form: {} }, roots: {} };
const METHODS = ["sampling/createMessage", "elicitation/create", "roots/list"];
const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": ALL,
};
const modernClient = (options: CallOptions = {}): CallOptions => ({
  meta: META,
  ...options,
  client: { era: "modern", capabilities: ALL, ...options.client },
});
const legacyClient = (options: CallOptions = {}): CallOptions => ({
  session: "s-1",
  ...options,
  client: { capabilities: ALL, info: { name: "a client", version: "1" }, ...options.client },
});

describe("a modern client of a legacy server", () => {
  /** What the gateway makes of a client's retry. */
  const retry = (result: any, inputResponses: object, options: CallOptions = {}): CallOptions => {
    const { parked, runner } = sealers().state.open(result.requestState)!;
    return modernClient({ params: { inputResponses, requestState: "" }, parked: parked!, to: runner!, ...options });
  };
  const parkOne = async (options: CallOptions = {}) =>
    (await ask("ask", modernClient({ args: { methods: ["roots/list"] }, ...options }))).result;

  test("is asked in a result, all at once, and brings the answers in another call", async () => {
    const id = await traffic.send("ask", modernClient({ args: { methods: METHODS }, requestId: "first" }));
    const { result, ...frame } = await traffic.answer(id);
    expect(frame).toEqual({ jsonrpc: "2.0", id: "first" });
    expect(result).toMatchObject({ resultType: "input_required", requestState: expect.any(String) });
    expect(Object.values(result.inputRequests).map((each: any) => each.method)).toEqual(METHODS);
    expect(result.inputRequests["q2"].params.message).toBe("Which?");
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok" });
    expect(sealers().state.open(result.requestState)).toMatchObject({
      tenant: "acme",
      principal: "token:dev",
      server: "fixture",
      method: "tools/call",
      name: "ask",
    });

    const answers = { q1: { n: 1.5 }, q2: { action: "decline" }, q3: { roots: [] }, unknown: {} };
    const resumed = await ask("ask", retry(result, answers, { requestId: "second" }));
    expect(resumed).toMatchObject({ id: "second", result: { resultType: "complete" } });
    expect(JSON.parse(resumed.result.content[0].text)).toEqual([{ n: 1.5 }, { action: "decline" }, { roots: [] }]);
  });

  test("is asked again for what is missing, and for what the server asks next", async () => {
    const args = { methods: METHODS.slice(0, 2), rounds: 2 };
    const first = (await ask("ask", modernClient({ args }))).result;
    const second = (await ask("ask", retry(first, { q1: { one: 1 } }))).result;
    expect(Object.keys(second.inputRequests)).toEqual(["q2"]);
    expect(second.requestState).not.toBe(first.requestState);
    const third = (await ask("ask", retry(second, { q2: { two: 2 } }))).result;
    expect(Object.keys(third.inputRequests)).toEqual(["q3", "q4"]);
    expect(await call("ask", retry(third, { q3: 3, q4: 4 }))).toEqual([{ one: 1 }, { two: 2 }, 3, 4]);
  });

  test("gets progress of the server for the call that waits now", async () => {
    const result = await parkOne({ args: { methods: ["roots/list"], progress: true } });
    const id = await traffic.send("ask", { ...retry(result, { q1: {} }), meta: { ...META, progressToken: "new" } });
    expect(await traffic.answer(id)).toMatchObject({ result: { content: [{ text: "[{}]" }] } });
    const [progress] = traffic.replied(id);
    expect(progress).toMatchObject({ envelope: { place: 1 }, frame: { params: { progressToken: "new" } } });
  });

  test.each([
    ["a second time", {}, async (result: any) => void (await ask("ask", retry(result, { q1: {} })))],
    ["for another principal", { principal: "token:other" }, async () => undefined],
    ["for another tool", { tool: "sleep" }, async () => undefined],
    ["for nothing that waits", { parked: "gone" }, async () => undefined],
  ])("cannot go on %s", async (_name, { tool = "ask", ...options }: any, before) => {
    const result = await parkOne();
    await before(result);
    expect(await ask(tool, retry(result, { q1: {} }, options))).toMatchObject({
      error: { code: -32602, message: expect.stringContaining("from the beginning") },
    });
  });

  test("that cancels the call which it went on with cancels the whole", async () => {
    const result = await parkOne({ args: { methods: ["roots/list"], rounds: 2 } });
    // Taken over and, before anything is asked again, cancelled.
    const id = await traffic.send("ask", retry(result, {}));
    await traffic.cancel(id);
    const { error, result: parkedAgain } = await traffic.answer(id);
    expect(error?.data.code ?? parkedAgain.resultType).toMatch(/cancelled|input_required/);
  });

  test("has a connection that no other call uses meanwhile, and the next one reuses", async () => {
    const pids: number[] = [];
    const pid = async () => (await call("client", modernClient())).pid;
    pids.push(await pid(), await pid());
    expect(pids[0]).toBe(pids[1]);
    const result = await parkOne();
    expect(await pid()).not.toBe(pids[0]);
    await ask("ask", retry(result, { q1: {} }));
    // Capabilities of its own make a connection of its own.
    const other = await call("client", modernClient({ client: { capabilities: { roots: {} } } }));
    expect(other.initialized.capabilities).toEqual({ roots: {} });
    expect(pids).not.toContain(other.pid);
  });

  test("that lacks what the server needs is told which capability that is", async () => {
    const args = { methods: ["sampling/createMessage"], strict: true };
    const id = await traffic.send("ask", modernClient({ args, client: { capabilities: {} } }));
    expect((await traffic.answer(id)).error).toMatchObject({
      code: -32021,
      data: { requiredCapabilities: { sampling: {} } },
    });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "error", errorCode: -32021 });
    // One that can do without gets its result, and a legacy client what the server says.
    const modest = { args: { ...args, strict: false }, client: { capabilities: {} } };
    expect(await call("ask", modernClient(modest))).toMatchObject([{ error: { code: -32601 } }]);
    expect(await ask("ask", { args })).toMatchObject({ result: { isError: true } });
  });

  test("gets what its revision wants to see in results, and its codes", async () => {
    const read = (uri: string) => ask(uri, modernClient({ method: "resources/read", params: { uri } }));
    expect((await read("fixture://one")).result).toMatchObject({
      resultType: "complete",
      ttlMs: 0,
      cacheScope: "private",
    });
    expect((await read("fixture://none")).error).toMatchObject({ code: -32602, data: { uri: "fixture://none" } });
    const legacy = await ask("", { method: "resources/read", params: { uri: "fixture://none" } });
    expect(legacy.error.code).toBe(-32002);
  });
});

describe("a legacy client of a modern server", () => {
  const server = "modern";

  test("is asked what the server wants to know, all at once, in rounds", async () => {
    const id = await traffic.send("ask", legacyClient({ server, args: { methods: METHODS, rounds: 2 } }));
    for (const round of [1, 2]) {
      const questions = await eventually(() => {
        const found = traffic.replied(id).filter(({ envelope }) => envelope.asks);
        expect(found).toHaveLength(3 * round);
        return found.slice(-3).map(({ frame }) => frame);
      });
      expect(questions.map(({ method }) => method)).toEqual(METHODS);
      for (const question of questions) {
        const frame = JSON.stringify({ jsonrpc: "2.0", id: question.id, result: { round, method: question.method } });
        publishAnswer(traffic.bus, runnerOfQuestion(question.id)!, { envelope: { session: "s-1" }, frame });
      }
    }
    const { result } = await traffic.answer(id);
    const expected = [1, 2].flatMap((round) => METHODS.map((method) => ({ round, method })));
    expect(JSON.parse(result.content[0].text)).toEqual(expected);
  });

  test("has its request made again where only the state is to come back, so many times", async () => {
    expect(await call("ask", legacyClient({ server, args: { methods: [], rounds: 3 } }))).toEqual([]);
    const endless = await ask("ask", legacyClient({ server, args: { methods: [], rounds: 100 } }));
    expect(endless.error.message).toContain("more than 16 times");
  });

  test("that cannot be asked gets an error", async () => {
    for (const options of [legacyClient({ client: { capabilities: {} } }), { client: { capabilities: ALL } }]) {
      const { error } = await ask("ask", { ...options, server, args: { methods: ["roots/list"] } });
      expect(error.message).toContain("wants roots/list, which the client cannot be asked");
    }
  });

  test("that answers with an error ends the call", async () => {
    const id = await traffic.send("ask", legacyClient({ server, args: { methods: ["roots/list"] } }));
    const [{ id: question }] = await eventually(() => {
      expect(traffic.replies(id)).toHaveLength(1);
      return traffic.replies(id);
    });
    const frame = JSON.stringify({ jsonrpc: "2.0", id: question, error: { code: -1, message: "rejected" } });
    publishAnswer(traffic.bus, runnerOfQuestion(question)!, { envelope: { session: "s-1" }, frame });
    expect((await traffic.answer(id)).error.message).toBe("roots/list was not answered: rejected");
  });

  test("is described in each request, with what the server may use", async () => {
    const received = async (options: CallOptions) => (await ask("echo", options)).result._meta.received;
    expect(await received(legacyClient({ server, client: { logLevel: "info" } }))).toMatchObject({
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": ALL,
      "io.modelcontextprotocol/clientInfo": { name: "a client" },
      "io.modelcontextprotocol/logLevel": "info",
    });
    const curious = await received(
      legacyClient({
        server: "curious",
        client: { workspace: "workspace-1" },
        meta: { "io.tollgate/session": { user_id: "made up" } },
      }),
    );
    expect(curious).toMatchObject({
      "io.modelcontextprotocol/clientCapabilities": {},
      "io.tollgate/session": { user_id: "token:dev", tenant_id: "acme", session_id: "s-1", workspace: "workspace-1" },
    });
    const restricted = await received(modernClient({ server: "curious" }));
    expect(restricted["io.modelcontextprotocol/clientCapabilities"]).toEqual({});
  });

  test.each(["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"])(
    "may say %s, which the server does not know",
    async (method) => {
      expect((await ask("", legacyClient({ server, method, params: { uri: "fixture://one" } }))).result).toEqual({});
    },
  );
});

describe("a modern client of a modern server", () => {
  test("gets the server's state sealed, the rest unchanged", async () => {
    const options = modernClient({ server: "modern", args: { methods: ["roots/list"] } });
    const { result } = await ask("ask", options);
    expect(result).toMatchObject({ resultType: "input_required", inputRequests: { k0: { method: "roots/list" } } });
    const { state, ...owned } = sealers().state.open(result.requestState)!;
    expect(JSON.parse(state!)).toEqual({ round: 1, got: [] });
    expect(owned).toMatchObject({ tenant: "acme", principal: "token:dev", server: "modern", name: "ask" });
    expect(owned).not.toHaveProperty("runner");
    const params = { requestState: state, inputResponses: { k0: { roots: [] } } };
    expect(await call("ask", { ...options, params })).toEqual([{ roots: [] }]);
  });
});
