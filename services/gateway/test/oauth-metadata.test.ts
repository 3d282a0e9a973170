import { fastify, type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { registerOauthMetadata } from "../src/handlers/oauth-metadata.ts";

const PUBLIC = {
  publicUrl: "https://mcp.example.com",
  authorizationServers: ["https://login.example.com"],
  scopes: ["mcp"],
};
const WELL_KNOWN = "/.well-known/oauth-protected-resource";

let app: FastifyInstance;
let url: string;

beforeAll(async () => {
  app = fastify();
  registerOauthMetadata(app, PUBLIC);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => app.close());

describe("protected resource metadata", () => {
  test.each([
    ["", "/mcp"],
    ["/mcp", "/mcp"],
    ["/mcp/files", "/mcp/files"],
    ["/mcp/files/disk", "/mcp/files/disk"],
    ["/mcp/files?x=1", "/mcp/files"],
  ])("%j is about %s", async (path, route) => {
    const response = await fetch(`${url}${WELL_KNOWN}${path}`, { headers: { host: "evil.example" } });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.json()).toMatchObject({
      resource: `https://mcp.example.com${route}`,
      authorization_servers: ["https://login.example.com"],
    });
  });

  test("there is none where no route can be", async () => {
    for (const path of ["/api/v1", "/mcp/a/b/c", "/mcp/%2f"]) {
      const response = await fetch(`${url}${WELL_KNOWN}${path}`);
      expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([404, "*"]);
    }
  });

  test("pages of other sites may ask, with the headers that clients send", async () => {
    const headers = { origin: "https://app.example", "access-control-request-headers": "mcp-protocol-version" };
    const response = await fetch(`${url}${WELL_KNOWN}/mcp`, { method: "OPTIONS", headers });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-headers")).toBe("*");
  });
});
