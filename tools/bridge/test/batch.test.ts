import { expect, test, vi } from "vitest";
import { type Bridge, INITIALIZE, INITIALIZED, legacy, useBridge } from "./bridge.ts";
import { type Endpoint, json, legacyReply, openStream, type Received, type Reply } from "./endpoint.ts";

const bench = useBridge();
const BATCH = `[${legacy(1, "ping", '{"n":1.0}')} , ${legacy('"2"', "tools/call")},{"jsonrpc":"2.0","method":"notifications/x"}]`;
const result = (id: string): string => `{"jsonrpc":"2.0","id":${id},"result":{"n":1.0}}`;

/** An endpoint of the one revision that has batches. */
async function openSession(reply: Reply): Promise<{ endpoint: Endpoint; bridge: Bridge }> {
  const endpoint = await bench.endpoint(legacyReply(reply, { version: "2025-03-26" }));
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  return { endpoint, bridge };
}

/** The last message that came, apart from requests for streams. */
function lastPost(endpoint: Endpoint): Received | undefined {
  return endpoint.received.findLast(({ verb }) => verb === "POST");
}

test("a batch goes out as it is, and its answers come back as they are, together or one by one", async () => {
  const together = `[${result('"2"')} ,  ${result("1")}]`;
  let streams = false;
  const { endpoint, bridge } = await openSession((_received, response) => {
    if (!streams) return json(response, together);
    const send = openStream(response);
    for (const id of ["1", '"2"']) send(result(id));
    response.end();
  });
  bridge.send(BATCH);
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([together]));
  expect(lastPost(endpoint)?.body).toBe(BATCH);
  expect(lastPost(endpoint)?.headers).toMatchObject({
    "mcp-session-id": "session-1",
    "mcp-protocol-version": "2025-03-26",
  });
  streams = true;
  bridge.send(BATCH);
  await vi.waitFor(() => expect(bridge.lines.slice(2)).toEqual([result("1"), result('"2"')]));
});

test("what of a batch has no answer when its connection breaks is answered by the bridge", async () => {
  const { endpoint, bridge } = await openSession((_received, response) => {
    openStream(response)(result("1"));
    setTimeout(() => response.destroy(), 20);
  });
  bridge.send(BATCH);
  expect((await bridge.answer("2"))["error"].code).toBe(-32009);
  expect(bridge.lines.slice(1)).toEqual([result("1"), expect.stringContaining("outcome_unknown")]);
  expect(endpoint.received.filter(({ body }) => body === BATCH)).toHaveLength(1);
});

test("a cancelled request of a batch gets no answer, the others do", async () => {
  let finish = (): void => {};
  const { endpoint, bridge } = await openSession(
    (_received, response) => void (finish = () => json(response, `[${result("1")},${result('"2"')}]`)),
  );
  bridge.send(BATCH);
  await vi.waitFor(() => expect(lastPost(endpoint)?.body).toBe(BATCH));
  bridge.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"2"}}');
  await vi.waitFor(() => expect(endpoint.calls("notifications/cancelled")).toHaveLength(1));
  finish();
  await vi.waitFor(() => expect(bridge.lines.slice(1)).toEqual([`[${result("1")}]`]));
});

test("a batch survives an expired session", async () => {
  const behaviour = legacyReply((_received, response) => json(response, `[${result("1")},${result('"2"')}]`), {
    version: "2025-03-26",
  });
  const endpoint = await bench.endpoint(behaviour);
  const bridge = bench.start(endpoint);
  bridge.send(INITIALIZE, INITIALIZED);
  await bridge.answer(0);
  behaviour.sessions.clear();
  bridge.send(BATCH);
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(2));
  expect(lastPost(endpoint)?.headers["mcp-session-id"]).toBe("session-2");
});

test("a batch with something in it that is no message, or that the bridge has to see, is taken apart", async () => {
  const { endpoint, bridge } = await openSession((received, response) =>
    json(response, `{"jsonrpc":"2.0","id":${JSON.stringify(received.message["id"])},"result":{}}`),
  );
  bridge.send(`[${legacy(1, "ping")},7]`);
  await bridge.answer(1);
  expect((await bridge.answer(null))["error"].code).toBe(-32600);
  expect(endpoint.calls("ping")).toHaveLength(1);
});
