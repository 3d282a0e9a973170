import { createHash } from "node:crypto";
import type { Parsed } from "@tollgate/contracts";

export const TOOLS_MAX = 2_000;
const TOOL_NAME_MAX_CHARS = 128;
export const TOOL_MAX_BYTES = 256 * 1024;

export interface Tool {
  readonly name: string;
  /** The server's own JSON, unchanged. */
  readonly definition: string;
  /** SHA-256 of the definition, hex. */
  readonly hash: string;
  readonly retrySafe: boolean;
}

/** Parses what a server listed. One bad tool refuses the whole list, and the reason says which one. */
export function parseToolList(definitions: readonly string[]): Parsed<readonly Tool[]> {
  if (definitions.length > TOOLS_MAX) return refuse(`${definitions.length} tools; at most ${TOOLS_MAX} are allowed`);
  const tools = new Map<string, Tool>();
  for (const [index, definition] of definitions.entries()) {
    const tool = parseTool(definition);
    if (!tool.ok) return refuse(`tool ${index + 1}${tool.reason}`);
    if (tools.has(tool.value.name)) return refuse(`tool ${index + 1}: another tool is named "${tool.value.name}" too`);
    tools.set(tool.value.name, tool.value);
  }
  return { ok: true, value: [...tools.values()] };
}

/** A reason continues the sentence "tool 3". */
function parseTool(definition: string): Parsed<Tool> {
  const bytes = Buffer.byteLength(definition);
  if (bytes > TOOL_MAX_BYTES)
    return refuse(`: its definition has ${bytes} bytes; at most ${TOOL_MAX_BYTES} are allowed`);
  let tool: unknown;
  try {
    tool = JSON.parse(definition);
  } catch {
    return refuse(": its definition is not JSON");
  }
  if (!isObject(tool)) return refuse(": its definition is not a JSON object");
  const { name, inputSchema, annotations } = tool;
  if (!isToolName(name)) {
    return refuse(`: its name is not a string of 1 to ${TOOL_NAME_MAX_CHARS} characters without control characters`);
  }
  if (!isObject(inputSchema)) return refuse(` ("${name}"): its inputSchema is not an object`);
  const hints = isObject(annotations) ? annotations : {};
  return {
    ok: true,
    value: {
      name,
      definition,
      hash: createHash("sha256").update(definition).digest("hex"),
      retrySafe: hints["readOnlyHint"] === true || hints["idempotentHint"] === true,
    },
  };
}

/** The database cannot hold a NUL, and a lone surrogate would not come back as it went in. */
function isToolName(name: unknown): name is string {
  if (typeof name !== "string" || name === "" || name.length > TOOL_NAME_MAX_CHARS) return false;
  return name.isWellFormed() && !/\p{Cc}/u.test(name);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
