import fc from "fast-check";
import { expect, test } from "vitest";
import { prefixedName, prefixedUri, splitName, splitUri } from "./names.ts";

const server = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?$/);

test("names and uris of several servers can be told apart, and come back as they were", () => {
  fc.assert(
    fc.property(server, fc.string({ minLength: 1 }), (id, own) => {
      expect(splitName(prefixedName(id, own))).toEqual({ server: id, own });
      expect(splitUri(prefixedUri(id, own))).toEqual({ server: id, own });
    }),
  );
});

test("a prefixed uri is a uri of its own scheme; that of MCP apps stays", () => {
  expect(new URL(prefixedUri("demo", "test://a/b?c")).protocol).toBe("mcp+demo+test:");
  expect(prefixedUri("demo", "ui://app/index.html")).toBe("ui://mcp+demo+app/index.html");
});

test("what has no server in front is not split", () => {
  for (const uri of ["", "test://a", "mcp+demo", "mcp++x", "ui://app/x", "file:///mcp+demo+x"])
    expect(splitUri(uri)).toBeUndefined();
});
