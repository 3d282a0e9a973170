import { createRequestStateCodec, InMemoryServerEventBus, type RequestStateCodec } from "@modelcontextprotocol/server";
import { TaskStore } from "./task-store.ts";

/** A server's own, shared by all its connections: a change that one client makes is told to the others. */
export interface ServerState {
  readonly events: InMemoryServerEventBus;
  readonly tasks: TaskStore;
  readonly requestStates: RequestStateCodec<Record<string, unknown>>;
  /** Whether the tool, prompt or resource that the triggers add is there now. */
  readonly added: { tool: boolean; prompt: boolean; resource: boolean };
  /** How often a watched resource has changed, by its URI. */
  readonly versions: Map<string, number>;
  cancelledCalls: number;
}

/** The same in every process, as a server's replicas have it: any of them takes the retry of another one's round. */
const REQUEST_STATE_KEY = "a fixture's key, which keeps no secret";

export function createState(): ServerState {
  return {
    events: new InMemoryServerEventBus(),
    tasks: new TaskStore(),
    requestStates: createRequestStateCodec({ key: REQUEST_STATE_KEY }),
    added: { tool: false, prompt: false, resource: false },
    versions: new Map(),
    cancelledCalls: 0,
  };
}
