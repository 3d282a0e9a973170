import type { Connector } from "./connector.ts";
import { isObject } from "./exact-json.ts";
import type { ConnectorOperation } from "./operation.ts";
import { isIdempotencyKey } from "./request.ts";

/** The definitions of a connector's tools, each as JSON, as MCP's tools/list has them. */
export function toolsOf({ operations, result }: Pick<Connector, "operations" | "result">): string[] {
  return operations.map((operation) => JSON.stringify(toTool(operation, result.schema)));
}

function toTool(operation: ConnectorOperation, withOutput: boolean): Record<string, unknown> {
  const { name, title, description, outputSchema, annotations } = operation;
  return {
    name,
    ...(title === undefined ? {} : { title }),
    description,
    inputSchema: askedFor(operation),
    ...(withOutput && outputSchema !== undefined ? { outputSchema } : {}),
    annotations: { ...(title === undefined ? {} : { title }), ...annotations, openWorldHint: true },
  };
}

/** A key that tells repeated requests from new ones is made for each call: nobody is asked for it. */
function askedFor({ inputSchema, parameters }: ConnectorOperation): ConnectorOperation["inputSchema"] {
  const made = parameters.filter(isIdempotencyKey).map(({ argument }) => argument);
  if (made.length === 0) return inputSchema;
  const { properties, required, ...rest } = inputSchema;
  const kept = isObject(properties) ? Object.entries(properties).filter(([name]) => !made.includes(name)) : [];
  const needed = Array.isArray(required) ? required.filter((name) => !made.includes(String(name))) : [];
  return { ...rest, properties: Object.fromEntries(kept), ...(needed.length === 0 ? {} : { required: needed }) };
}
