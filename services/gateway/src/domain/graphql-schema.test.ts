import { buildSchema } from "graphql";
import { expect, test } from "vitest";
import { toGraphql } from "./graphql-schema.ts";
import type { OpenApiDocument } from "./openapi-document.ts";

const text = { type: "string" };
const server = {
  type: "object",
  properties: {
    id: text,
    tools: { type: "integer", maximum: 9e15 },
    weight: { type: "integer", maximum: 100 },
    reportedAt: { type: ["string", "null"] },
    owner: { anyOf: [{ type: "object", properties: { team: text }, required: ["team"] }, { type: "null" }] },
    info: { type: "object", additionalProperties: {} },
    "odd-name": text,
  },
  required: ["id", "tools", "weight", "reportedAt", "owner", "info"],
};
const { "odd-name": _, ...sound } = server.properties;
const plain = { ...server, properties: sound };
const listOf = (items: object) => ({
  type: "object",
  properties: { items: { type: "array", items }, nextCursor: { type: ["string", "null"] } },
  required: ["items", "nextCursor"],
});
const parameter = (name: string, where: string, schema: object = text) => ({
  name,
  in: where,
  required: where === "path",
  schema,
});

function documentOf(paths: Record<string, [string, object, object[]]>): OpenApiDocument {
  const described = Object.entries(paths).map(([path, [operationId, schema, parameters]]) => {
    const responses = { 200: { description: "", content: { "application/json": { schema } } } };
    return [path, { get: { operationId, summary: `What "${operationId}" says`, parameters, responses } }];
  });
  return { paths: Object.fromEntries(described), components: {} };
}

const DOCUMENT = documentOf({
  "/api/v1/groups": ["listGroups", listOf({ type: "object", properties: { id: text }, required: ["id"] }), []],
  "/api/v1/groups/{id}": [
    "getGroup",
    { type: "object", properties: { id: text }, required: ["id"] },
    [parameter("id", "path")],
  ],
  "/api/v1/servers": [
    "listServers",
    listOf(plain),
    [parameter("group", "query"), parameter("limit", "query", { type: "integer", maximum: 1_000 })],
  ],
  "/api/v1/servers/{id}": ["getServer", plain, [parameter("id", "path"), parameter("if-none-match", "header")]],
  "/api/v1/servers/{id}/tools": [
    "listServerTools",
    listOf({ type: "object", properties: { name: text }, required: ["name"] }),
    [parameter("id", "path"), parameter("limit", "query", { type: "integer" })],
  ],
  "/api/v1/odd": ["getOdd", server, []],
});

test("reads become fields, resources types, and what is below a resource a field of it", () => {
  const { sdl, fields } = toGraphql(DOCUMENT, () => true);
  expect(buildSchema(sdl).getType("Server")?.astNode?.kind).toBe("ObjectTypeDefinition");
  for (const line of [
    "getServer(id: String!): Server",
    "listServers(group: String, limit: Int): Servers",
    "items: [Server]!",
    "weight: Int!",
    "reportedAt: String\n",
    "owner: ServerOwner\n",
    "info: JSON!",
    // What is below it, in the place of the number.
    "tools(limit: Float): ServerTools",
    "servers(limit: Int): Servers",
    // A name that GraphQL does not have.
    "getOdd: JSON",
    '"What \\"getOdd\\" says"',
  ])
    expect(sdl).toContain(line);
  expect(sdl).not.toContain("if-none-match");
  expect(fields).toContainEqual({
    type: "Server",
    field: "tools",
    path: "/api/v1/servers/{id}/tools",
    fromParent: { id: "id" },
  });
  expect(fields).toContainEqual({
    type: "Group",
    field: "servers",
    path: "/api/v1/servers",
    fromParent: { group: "id" },
  });
});

test("only what may be read so is there", () => {
  const { sdl } = toGraphql(DOCUMENT, (_operation, path) => path === "/api/v1/groups");
  expect(Object.keys(buildSchema(sdl).getQueryType()!.getFields())).toEqual(["listGroups"]);
});
