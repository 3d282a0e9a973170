import { fastify } from "fastify";
import { expect, test } from "vitest";
import { readBodies } from "./api-bodies.ts";

const app = fastify();
readBodies(app);
app.post("/", (request) => ({ body: request.body }));

async function post(payload: string): Promise<{ status: number; body: unknown }> {
  const headers = { "content-type": "application/json" };
  const response = await app.inject({ method: "POST", url: "/", headers, payload });
  return { status: response.statusCode, body: response.json().body };
}

test("keys are what they are, whatever was read before", async () => {
  // After the first, JSON.parse of Node 24 reads the second's `für` as `f\\u`.
  await post(String.raw`{"to":[],"f\\u":0}`);
  expect(await post(String.raw`{"to":1,"f\u00fcr":2}`)).toEqual({ status: 200, body: { to: 1, für: 2 } });
});

test.each(["", "{", '{"__proto__":{}}', String.raw`{"\u005f_proto__":{}}`, '{"constructor":{"prototype":{}}}'])(
  "%j is refused, as fastify does",
  async (payload) => {
    expect((await post(payload)).status).toBe(400);
  },
);
