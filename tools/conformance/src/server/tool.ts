import type {
  CallToolResult,
  InputRequiredResult,
  JsonSchemaType,
  McpServer,
  ServerContext,
  ProtocolEra,
  Tool,
} from "@modelcontextprotocol/server";
import type { ServerState } from "./state.ts";
import type { TaskRun } from "./task-store.ts";

export type ToolArguments = Readonly<Record<string, unknown>>;

export interface ToolContext {
  readonly era: ProtocolEra;
  readonly server: McpServer["server"];
  readonly request: ServerContext["mcpReq"];
  readonly http: ServerContext["http"];
  readonly sessionId: string | undefined;
  readonly state: ServerState;
}

/** A tool as it is listed; also with what no revision knows. */
export interface ToolDefinition extends Omit<Tool, "inputSchema"> {
  readonly inputSchema: JsonSchemaType & { readonly type: "object"; readonly properties?: Record<string, object> };
  readonly [unknown: `x-${string}`]: unknown;
}

export interface ToolFixture {
  readonly definition: ToolDefinition;
  readonly call: (args: ToolArguments, context: ToolContext) => Promise<CallToolResult | InputRequiredResult>;
  /** What runs instead of `call` when the call becomes a task. */
  readonly task?: {
    /** `required`: it never runs as a plain call, and is refused to a client that knows no tasks. */
    readonly support: "optional" | "required";
    /** Asks for what it needs before there is a task. */
    readonly before?: (context: ToolContext) => InputRequiredResult | undefined;
    readonly run: (args: ToolArguments, run: TaskRun, context: ToolContext) => Promise<CallToolResult>;
  };
}

export const NO_ARGUMENTS = { type: "object", properties: {} } as const satisfies ToolDefinition["inputSchema"];

export function stringOf(args: ToolArguments, name: string): string {
  const value = args[name];
  return typeof value === "string" ? value : "";
}

export function numberOf(args: ToolArguments, name: string): number {
  const value = args[name];
  return typeof value === "number" ? value : 0;
}
