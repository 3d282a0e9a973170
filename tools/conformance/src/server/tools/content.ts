// Tools that only answer: each kind of content, an error, and schemas that must arrive as they are.
import type { CallToolResult } from "@modelcontextprotocol/server";
import { image, textResult, WAV_BASE64 } from "../payloads.ts";
import { NO_ARGUMENTS, stringOf, type ToolDefinition, type ToolFixture } from "../tool.ts";

function fixed(name: string, description: string, content: CallToolResult["content"]): ToolFixture {
  return {
    definition: { name, description, inputSchema: NO_ARGUMENTS, annotations: { readOnlyHint: true } },
    call: async () => ({ content }),
  };
}

const FIXED: readonly ToolFixture[] = [
  fixed("test_simple_text", "Answers with a text.", [
    { type: "text", text: "This is a simple text response for testing." },
  ]),
  fixed("test_image_content", "Answers with an image.", [image]),
  fixed("test_audio_content", "Answers with a sound.", [{ type: "audio", data: WAV_BASE64, mimeType: "audio/wav" }]),
  fixed("test_embedded_resource", "Answers with a resource.", [
    {
      type: "resource",
      resource: {
        uri: "test://embedded-resource",
        mimeType: "text/plain",
        text: "This is an embedded resource content.",
      },
    },
  ]),
  fixed("test_multiple_content_types", "Answers with a text, an image and a resource.", [
    { type: "text", text: "Multiple content types test:" },
    image,
    {
      type: "resource",
      resource: {
        uri: "test://mixed-content-resource",
        mimeType: "application/json",
        text: '{"test":"data","value":123}',
      },
    },
  ]),
  fixed("test_resource_link", "Answers with links to resources.", [
    { type: "resource_link", uri: "test://static-text", name: "static-text", mimeType: "text/plain" },
    { type: "resource_link", uri: "test://template/7/data", name: "template" },
  ]),
];

const failing: ToolFixture = {
  definition: { name: "test_error_handling", description: "Always fails.", inputSchema: NO_ARGUMENTS },
  call: async () => {
    throw new Error("This tool intentionally returns an error for testing");
  },
};

/** SEP-1613 and SEP-2106: nothing of JSON Schema 2020-12 gets lost on the way. */
const JSON_SCHEMA_2020_12: ToolDefinition["inputSchema"] = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "addressDef",
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: { type: "string" },
    email: { type: "string" },
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

const richSchema: ToolFixture = {
  definition: {
    name: "json_schema_2020_12_tool",
    description: "Tool with JSON Schema 2020-12 features",
    inputSchema: JSON_SCHEMA_2020_12,
  },
  call: async (args) => textResult(`JSON Schema 2020-12 tool called with: ${JSON.stringify(args)}`),
};

/** SEP-2243: a client repeats it in a header, and the two must agree. */
const region = { type: "string", description: "Also sent as a header.", "x-mcp-header": "Region" } as const;

const headerArgument: ToolFixture = {
  definition: {
    name: "test_x_mcp_header",
    description: "Answers with its region, which clients also send as Mcp-Param-Region.",
    inputSchema: {
      type: "object",
      properties: {
        region,
        level: { type: "integer", description: "Sent in the body only." },
      },
    },
  },
  call: async (args) => textResult(`region=${stringOf(args, "region") || "<none>"}`),
};

export const contentTools: readonly ToolFixture[] = [...FIXED, failing, richSchema, headerArgument];
