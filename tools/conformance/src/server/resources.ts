import {
  ProtocolError,
  ProtocolErrorCode,
  type ReadResourceResult,
  type Resource,
  ResourceNotFoundError,
  type ResourceTemplateType,
  UriTemplate,
} from "@modelcontextprotocol/server";
import { PNG_BASE64 } from "./payloads.ts";
import type { ServerState } from "./state.ts";

const STATIC: readonly Resource[] = [
  {
    uri: "test://static-text",
    name: "static-text",
    title: "Static text",
    description: "A text that never changes.",
    mimeType: "text/plain",
  },
  {
    uri: "test://static-binary",
    name: "static-binary",
    title: "Static image",
    description: "An image that never changes.",
    mimeType: "image/png",
  },
  {
    uri: "test://watched-resource",
    name: "watched-resource",
    title: "Watched resource",
    description: "A text that test_trigger_resource_update changes.",
    mimeType: "text/plain",
  },
];

const ADDED: Resource = {
  uri: "test://added-resource",
  name: "test_added_resource",
  description: "Is there after test_trigger_resource_change.",
  mimeType: "text/plain",
};

export const resourceTemplates: readonly ResourceTemplateType[] = [
  {
    uriTemplate: "test://template/{id}/data",
    name: "template",
    title: "Template",
    description: "A resource for each id.",
    mimeType: "application/json",
  },
];

const TEMPLATE_IDS = ["1", "12", "123", "7"];
const template = new UriTemplate("test://template/{id}/data");

export function listResources({ added }: ServerState): readonly Resource[] {
  return added.resource ? [...STATIC, ADDED] : STATIC;
}

/** @throws ResourceNotFoundError */
export function readResource(uri: string, { added, versions }: ServerState): ReadResourceResult {
  const text = (value: string, mimeType = "text/plain"): ReadResourceResult => ({
    contents: [{ uri, mimeType, text: value }],
  });
  switch (uri) {
    case "test://static-text":
      return text("This is the content of the static text resource.");
    case "test://static-binary":
      return { contents: [{ uri, mimeType: "image/png", blob: PNG_BASE64 }] };
    case "test://watched-resource":
      return text(`Watched resource content, version ${versions.get(uri) ?? 0}`);
    case "test://added-resource":
      if (added.resource) return text("The added resource");
      break;
  }
  const id = template.match(uri)?.["id"];
  if (typeof id !== "string") throw new ResourceNotFoundError(uri);
  return text(JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }), "application/json");
}

/** @throws ProtocolError -32602 when there is no such template. */
export function completeTemplate(uriTemplate: string, argument: string): readonly string[] {
  if (!resourceTemplates.some((each) => each.uriTemplate === uriTemplate))
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Resource template ${uriTemplate} not found`);
  return argument === "id" ? TEMPLATE_IDS : [];
}
