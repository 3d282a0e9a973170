import type { CallFacts } from "@tollgate/contracts";
import {
  changeStrings,
  type Edit,
  type NotificationFrame,
  type Path,
  prefixedUri,
  type RequestFrame,
  type ResponseFrame,
  type Sealers,
} from "@tollgate/mcp";
import { isInputRequired } from "./input-required.ts";

/** How long a modern server's own state stays good; who looks for the answers are people. */
const STATE_VALID_MS = 3_600_000;

/** What decides how a server's ids and uris leave it. */
export interface Outward {
  readonly facts: Pick<CallFacts, "tenant" | "principal" | "server" | "method" | "tool">;
  /** Several servers are behind the client's route. */
  readonly prefixed: boolean;
  readonly sealers: Sealers;
  /** Where a task lives: the runner whose process has it, and the session whose connection it is on. */
  readonly home: { readonly runner?: string; readonly session?: string };
  /** Unix milliseconds. */
  readonly now: number;
}

const RELATED_TASK = ["_meta", "io.modelcontextprotocol/related-task", "taskId"];
const TASK_OF_RESULT: readonly Path[] = [
  ["result", "task", "taskId"],
  ["result", "tasks", "*", "taskId"],
  ["result", ...RELATED_TASK],
];
const TASK_ITSELF: Path = ["result", "taskId"];
const TASK_OF_PARAMS: readonly Path[] = [
  ["params", "taskId"],
  ["params", ...RELATED_TASK],
];
const STATE: readonly Path[] = [["result", "requestState"]];

const contentUris = (...way: string[]): Path[] => [
  [...way, "uri"],
  [...way, "resource", "uri"],
];
const OF_TOOL = contentUris("result", "content", "*");
const URIS: Readonly<Record<string, readonly Path[]>> = {
  "tools/call": OF_TOOL,
  "tasks/result": OF_TOOL,
  "tasks/get": contentUris("result", "result", "content", "*"),
  "prompts/get": contentUris("result", "messages", "*", "content"),
  "resources/read": [["result", "contents", "*", "uri"]],
};

export const NO_EDITS: readonly Edit[] = [];

/** Most responses hold nothing that changes on its way out; only texts are looked at. */
export function passesAsItIs({ text, result }: ResponseFrame, prefixed: boolean): boolean {
  return !text.includes('"taskId"') && !(prefixed && text.includes('"uri"')) && !isInputRequired(result);
}

/** The changes that make a response's ids its owner's, and its uris those of the client's route. */
export function editsOfResponse(frame: ResponseFrame, outward: Outward): Edit[] {
  const { text } = frame;
  const { facts, prefixed, sealers, now } = outward;
  const edits: Edit[] = [];
  if (text.includes('"taskId"')) {
    const isTask =
      facts.method.startsWith("tasks/") || (frame.result as { resultType?: unknown })?.resultType === "task";
    const paths = isTask ? [...TASK_OF_RESULT, TASK_ITSELF] : TASK_OF_RESULT;
    edits.push(...changeStrings(text, paths, (task) => sealTask(task, outward)));
  }
  const uris = prefixed && text.includes('"uri"') ? URIS[facts.method] : undefined;
  if (uris) edits.push(...changeStrings(text, uris, (uri) => prefixedUri(facts.server, uri)));
  if (isInputRequired(frame.result)) {
    const { tenant, principal, server, method, tool: name } = facts;
    const owned = { tenant, principal, server, expiresAt: now + STATE_VALID_MS, method, name };
    edits.push(...changeStrings(text, STATE, (state) => sealers.state.seal({ ...owned, state })));
  }
  return edits;
}

/** The same for what a server says beside answers. */
export function editsOfMessage({ text }: NotificationFrame | RequestFrame, outward: Outward): Edit[] {
  return text.includes('"taskId"') ? changeStrings(text, TASK_OF_PARAMS, (task) => sealTask(task, outward)) : [];
}

/** The same task has the same sealed id for its owner each time. */
function sealTask(task: string, { facts, sealers, home }: Outward): string {
  const { tenant, principal, server, tool } = facts;
  return sealers.task.seal({ tenant, principal, server, ...home, task, tool });
}
