// Features where a client asks and a server answers.
import { expect } from "vitest";
import { type Cell, contentOf, type Feature, isModern, readList, since, textOf } from "./cell.ts";

const STATIC_TEXT = "test://static-text";

/** What other checks add and take away while this one looks. */
const lasting = (items: readonly unknown[]) => items.filter((item) => !JSON.stringify(item).includes("added"));

async function expectSameList({ plain, direct }: Cell, method: string, member: string): Promise<void> {
  const [through, own] = await Promise.all([readList(plain, method, member), readList(direct, method, member)]);
  expect(lasting(through)).toEqual(lasting(own));
  expect(lasting(own).length).toBeGreaterThan(0);
}

async function expectSameAnswer({ plain, direct }: Cell, method: string, params: object): Promise<any> {
  const [through, own] = await Promise.all([
    plain.request(method, params as Record<string, unknown>),
    direct.request(method, params as Record<string, unknown>),
  ]);
  expect(contentOf(through)).toEqual(contentOf(own));
  return through;
}

function expectModernMembers({ client }: Cell, { result }: any, cacheable: boolean): void {
  if (!isModern(client)) return;
  expect(result.resultType).toBe("complete");
  if (cacheable) expect(result).toMatchObject({ ttlMs: expect.any(Number), cacheScope: expect.any(String) });
}

export const OFFERS: readonly Feature[] = [
  {
    name: "tools",
    async check(cell) {
      await expectSameList(cell, "tools/list", "tools");
      const tools = ["test_simple_text", "test_image_content", "test_embedded_resource", "test_error_handling"];
      for (const name of [...tools, "test_multiple_content_types"])
        expectModernMembers(cell, await expectSameAnswer(cell, "tools/call", { name, arguments: {} }), false);
      const simple = await cell.plain.request("tools/call", { name: "test_simple_text", arguments: {} });
      expect(contentOf(simple)).toEqual({
        content: [{ type: "text", text: "This is a simple text response for testing." }],
      });
      const wrong = await cell.plain.request("tools/call", { name: "test_no_such_tool", arguments: {} });
      expect(wrong.error).toMatchObject({ code: -32602, message: "unknown tool: test_no_such_tool" });
    },
  },
  {
    name: "audio content",
    impossible: since("2025-03-26"),
    check: async (cell) => void (await expectSameAnswer(cell, "tools/call", { name: "test_audio_content" })),
  },
  {
    name: "structured output, resource links",
    impossible: since("2025-06-18"),
    async check(cell) {
      const { result } = await cell.plain.request("tools/call", { name: "test_echo_meta" });
      expect(result.structuredContent).toMatchObject({ _meta: expect.any(Object), session: { id: null } });
      expect(JSON.parse(result.content[0].text)).toEqual(result.structuredContent);
      const tools = await readList(cell.plain, "tools/list", "tools");
      expect(tools.find((tool: any) => tool.name === "test_echo_meta")).toMatchObject({
        outputSchema: { type: "object", required: ["_meta", "session", "headers"] },
        "x-unknown": { kept: [1, 2.5, "three"] },
      });
      await expectSameAnswer(cell, "tools/call", { name: "test_resource_link" });
    },
  },
  {
    name: "resources",
    async check(cell) {
      await expectSameList(cell, "resources/list", "resources");
      for (const uri of [STATIC_TEXT, "test://static-binary"])
        expectModernMembers(cell, await expectSameAnswer(cell, "resources/read", { uri }), true);
      const text = await cell.plain.request("resources/read", { uri: STATIC_TEXT });
      expect(contentOf(text)).toEqual({
        contents: [
          { uri: STATIC_TEXT, mimeType: "text/plain", text: "This is the content of the static text resource." },
        ],
      });
      const missing = { uri: "test://nothing" };
      const own = await cell.direct.request("resources/read", missing);
      const code = isModern(cell.client) ? -32602 : own.error.code;
      expect((await cell.plain.request("resources/read", missing)).error.code).toBe(code);
    },
  },
  {
    name: "resource templates",
    async check(cell) {
      await expectSameList(cell, "resources/templates/list", "resourceTemplates");
      const read = await expectSameAnswer(cell, "resources/read", { uri: "test://template/12/data" });
      expect(JSON.parse(read.result.contents[0].text)).toEqual({
        id: "12",
        templateTest: true,
        data: "Data for ID: 12",
      });
    },
  },
  {
    name: "prompts",
    async check(cell) {
      await expectSameList(cell, "prompts/list", "prompts");
      const withArguments = { name: "test_prompt_with_arguments", arguments: { arg1: "one", arg2: "zwei ü" } };
      const text = "Prompt with arguments: arg1='one', arg2='zwei ü'";
      const got = await expectSameAnswer(cell, "prompts/get", withArguments);
      expect(contentOf(got)["messages"]).toEqual([{ role: "user", content: { type: "text", text } }]);
      for (const name of ["test_simple_prompt", "test_prompt_with_image"])
        expectModernMembers(cell, await expectSameAnswer(cell, "prompts/get", { name }), false);
      const wrong = await cell.plain.request("prompts/get", { name: "test_prompt_with_arguments" });
      expect(wrong.error).toMatchObject({ code: -32602, message: expect.stringContaining("arg1") });
    },
  },
  {
    name: "completion",
    async check(cell) {
      const argument = { name: "arg1", value: "test" };
      const ofPrompt = { ref: { type: "ref/prompt", name: "test_prompt_with_arguments" }, argument };
      const completed = await expectSameAnswer(cell, "completion/complete", ofPrompt);
      expect(contentOf(completed)).toEqual({
        completion: { values: ["test-one", "test-two"], total: 2, hasMore: false },
      });
      const ref = { type: "ref/resource", uri: "test://template/{id}/data" };
      await expectSameAnswer(cell, "completion/complete", { ref, argument: { name: "id", value: "12" } });
      const context = { arguments: { arg1: "x" } };
      const second = { ...ofPrompt, argument: { name: "arg2", value: "x-" }, context };
      const dependent = await expectSameAnswer(cell, "completion/complete", second);
      expect((contentOf(dependent)["completion"] as any).values).toEqual(["x-first", "x-second"]);
    },
  },
  {
    name: "pagination",
    // The servers give four items at a time.
    async check({ plain, direct }) {
      const own = await direct.request("tools/list", {});
      expect(own.result.tools).toHaveLength(4);
      expect(own.result.nextCursor).toEqual(expect.any(String));
      const [through, whole] = await Promise.all([plain, direct].map((peer) => readList(peer, "tools/list", "tools")));
      expect(lasting(through!)).toEqual(lasting(whole!));
      const forged = await plain.request("tools/list", { cursor: "forged" });
      expect(forged.error.code).toBe(-32602);
    },
  },
  {
    name: "several servers on one route",
    async check({ among, serverId }) {
      const called = await among.request("tools/call", { name: `${serverId}__test_simple_text`, arguments: {} });
      expect(textOf(called)).toBe("This is a simple text response for testing.");
      const uri = `mcp+${serverId}+${STATIC_TEXT}`;
      const read = await among.request("resources/read", { uri });
      expect((contentOf(read)["contents"] as any)[0].uri).toBe(uri);
      const prompt = await among.request("prompts/get", { name: `${serverId}__test_simple_prompt` });
      expect((contentOf(prompt)["messages"] as any)[0].content.text).toBe("This is a simple prompt for testing.");
      const completed = await among.request("completion/complete", {
        ref: { type: "ref/resource", uri: `mcp+${serverId}+test://template/{id}/data` },
        argument: { name: "id", value: "12" },
      });
      expect((contentOf(completed)["completion"] as any).values).toEqual(["12", "123"]);
      const linked = await among.request("tools/call", { name: `${serverId}__test_resource_link`, arguments: {} });
      expect((contentOf(linked)["content"] as any).map((each: any) => each.uri)).toEqual([
        uri,
        `mcp+${serverId}+test://template/7/data`,
      ]);
    },
  },
  {
    name: "ping",
    impossible: ({ client }) => (isModern(client) ? "2026-07-28 has no ping" : undefined),
    async check({ plain }) {
      expect(await plain.request("ping")).toMatchObject({ result: {} });
    },
    async otherwise({ plain }) {
      expect((await plain.request("ping")).error.code).toBe(-32601);
    },
  },
  {
    name: "batches",
    impossible: ({ client }) => (client === "2025-03-26" ? undefined : "only 2025-03-26 has batches"),
    async check({ plain }) {
      const messages = [
        { jsonrpc: "2.0", id: "b1", method: "ping" },
        { jsonrpc: "2.0", method: "notifications/whatever" },
        { jsonrpc: "2.0", id: "b2", method: "tools/call", params: { name: "test_simple_text" } },
      ];
      expect(await plain.send(JSON.stringify(messages))).toBe(200);
      const answers = plain.received.map(({ message }) => message).filter(({ id }) => id === "b1" || id === "b2");
      expect(answers.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
        { jsonrpc: "2.0", id: "b1", result: {} },
        expect.objectContaining({ id: "b2", result: expect.objectContaining({ content: expect.any(Array) }) }),
      ]);
    },
    async otherwise({ plain }) {
      const ping = { jsonrpc: "2.0", id: "batched", method: "ping" };
      expect(await plain.send(JSON.stringify([ping]))).toBe(400);
    },
  },
];
