import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  metadataUrl,
  type ProtectedResource,
  resourceMetadata,
  routeAccess,
  routeOf,
  scopeChallenge,
  unauthorizedChallenge,
} from "./protected-resource.ts";

const RESOURCE: ProtectedResource = {
  publicUrl: "https://mcp.example.com",
  authorizationServers: ["https://login.example.com/realms/acme"],
  scopes: ["mcp", "tools"],
};
const BELOW: ProtectedResource = { ...RESOURCE, publicUrl: "https://example.com/gate" };
const BY_HAND: ProtectedResource = { ...RESOURCE, authorizationServers: [] };
const WELL_KNOWN = "/.well-known/oauth-protected-resource";

describe("metadata", () => {
  test("says whose tokens are taken, and for what", () => {
    expect(resourceMetadata(RESOURCE, "/mcp/files")).toEqual({
      resource: "https://mcp.example.com/mcp/files",
      resource_name: "Tollgate",
      authorization_servers: ["https://login.example.com/realms/acme"],
      scopes_supported: ["mcp", "tools"],
      bearer_methods_supported: ["header"],
    });
    expect(resourceMetadata({ ...RESOURCE, scopes: [] }, "/mcp")).not.toHaveProperty("scopes_supported");
  });

  test.each(["/mcp", "/mcp/a", "/mcp/a/b", "/mcp/sse", "/mcp/a/sse", "/mcp/a/b/ws", "/mcp/a/b/messages"])(
    "of %s is about that very URL",
    (path) => expect(resourceMetadata(RESOURCE, path)?.["resource"]).toBe(`https://mcp.example.com${path}`),
  );

  test.each([
    "",
    "/",
    "/api",
    "/mcpx",
    "/mcp/",
    "/mcp/a/b/c",
    "/mcp/A",
    "/mcp/a%2f",
    "/mcp/sets/shop",
    "/mcp/sets/shop/ws",
    "/mcp/../api",
    "/mcp\n",
  ])("of %j there is none", (path) => expect(resourceMetadata(RESOURCE, path)).toBeUndefined());

  test("there is none without an issuer", () => expect(resourceMetadata(BY_HAND, "/mcp")).toBeUndefined());
});

describe("where the metadata of a route is", () => {
  test.each<[string, ProtectedResource, string, string]>([
    ["a route", RESOURCE, "/mcp/files", `https://mcp.example.com${WELL_KNOWN}/mcp/files`],
    ["below a path", BELOW, "/mcp/files", `https://example.com${WELL_KNOWN}/gate/mcp/files`],
    ["what is no route", RESOURCE, '/mcp/"x', `https://mcp.example.com${WELL_KNOWN}/mcp`],
  ])("%s", (_name, resource, path, url) => expect(metadataUrl(resource, path)).toBe(url));

  test.each<[ProtectedResource, string, string]>([
    [RESOURCE, "", "/mcp"],
    [RESOURCE, "/", "/mcp"],
    [RESOURCE, "/mcp/a/b", "/mcp/a/b"],
    [BELOW, "/gate/mcp/a", "/mcp/a"],
    [BELOW, "/gate", "/mcp"],
    // A proxy may take the path away.
    [BELOW, "/mcp/a", "/mcp/a"],
    [BELOW, "/gatemcp", "/gatemcp"],
  ])("and back, %#", (resource, path, route) => expect(routeOf(resource, `${WELL_KNOWN}${path}`)).toBe(route));

  test("a client that follows the challenge arrives at the route that it began with", () => {
    for (const resource of [RESOURCE, BELOW]) {
      for (const path of ["/mcp", "/mcp/a", "/mcp/a/b/sse"]) {
        const { pathname } = new URL(metadataUrl(resource, path));
        expect(resourceMetadata(resource, routeOf(resource, pathname))?.["resource"]).toBe(
          `${resource.publicUrl}${path}`,
        );
      }
    }
  });
});

describe("challenges", () => {
  const METADATA = `resource_metadata="https://mcp.example.com${WELL_KNOWN}/mcp/files"`;

  test("without a token: where to get one, and no error", () => {
    expect(unauthorizedChallenge(RESOURCE, "/mcp/files")).toBe(`Bearer ${METADATA}, scope="mcp tools"`);
  });

  test("with a token that is no good: what is wrong with it", () => {
    expect(unauthorizedChallenge(RESOURCE, "/mcp/files", 'the token "dev" expired')).toBe(
      `Bearer error="invalid_token", error_description="the token 'dev' expired", ${METADATA}, scope="mcp tools"`,
    );
  });

  test("with too few scopes: all that are needed", () => {
    expect(scopeChallenge(RESOURCE, "/mcp/files")).toBe(
      `Bearer error="insufficient_scope", ${METADATA}, scope="mcp tools"`,
    );
  });

  test("without an issuer, no way that would lead nowhere", () => {
    expect(unauthorizedChallenge(BY_HAND, "/mcp")).toBe("Bearer");
    expect(unauthorizedChallenge(BY_HAND, "/mcp", "no")).toBe('Bearer error="invalid_token", error_description="no"');
    expect(scopeChallenge({ ...RESOURCE, scopes: [] }, "/mcp")).not.toContain("scope=");
  });

  test("are one header, whatever the path and the problem are", () => {
    const value =
      /^Bearer error="invalid_token", error_description="([\x20-\x21\x23-\x5b\x5d-\x7e]{0,300})", resource_metadata="https:\/\/mcp\.example\.com\/[a-z0-9/.-]+", scope="mcp tools"$/;
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary", maxLength: 500 }), (path, problem) => {
        expect(unauthorizedChallenge(RESOURCE, `/mcp/${path}`, problem)).toMatch(value);
      }),
    );
  });
});

describe("a route is open to", () => {
  test.each<[string[], string | undefined, string | undefined, string]>([
    [["mcp"], undefined, undefined, "granted"],
    [["mcp", "admin"], "a", "b", "granted"],
    [["mcp:a"], "a", undefined, "granted"],
    [["mcp:a"], "a", "b", "granted"],
    [["mcp:a/b"], "a", "b", "granted"],
    [["mcp:x", "mcp:a"], "a", "b", "granted"],
    [["mcp:a"], undefined, undefined, "elsewhere"],
    [["mcp:a"], "ab", undefined, "elsewhere"],
    [["mcp:a"], "b", "a", "elsewhere"],
    [["mcp:a/b"], "a", undefined, "elsewhere"],
    [["mcp:a/b"], "a", "c", "elsewhere"],
    [[], undefined, undefined, "lacking"],
    [["admin"], "a", "b", "lacking"],
  ])("%j at %s/%s: %s", (permissions, group, server, expected) => {
    expect(routeAccess(permissions, { group, server })).toBe(expected);
  });
});
