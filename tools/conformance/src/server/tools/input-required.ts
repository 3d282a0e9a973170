// SEP-2322, multi-round-trip requests: a tool says what it needs, and the client calls it again with that.
import { randomUUID } from "node:crypto";
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type InputRequest,
  inputRequired,
  type InputRequests,
} from "@modelcontextprotocol/server";
import { textResult } from "../payloads.ts";
import { NO_ARGUMENTS, type ToolContext, type ToolFixture } from "../tool.ts";

export function elicit(message: string, property: string, type: "string" | "boolean" = "string"): InputRequest {
  const field: { type: "string" } | { type: "boolean" } = { type };
  return inputRequired.elicit({
    message,
    requestedSchema: { type: "object", properties: { [property]: field }, required: [property] },
  });
}

function sample(text: string, maxTokens: number): InputRequest {
  return inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text } }], maxTokens });
}

/** What the user wrote into the one field of an accepted form. */
export function elicited({ request }: ToolContext, key: string, property: string): unknown {
  return acceptedContent(request.inputResponses, key)?.[property];
}

function sampled({ request }: ToolContext, key: string): string | undefined {
  return (request.inputResponses?.[key] as { content?: { text?: string } } | undefined)?.content?.text;
}

function rootsOf({ request }: ToolContext, key: string): readonly { uri?: string }[] | undefined {
  const { roots } = (request.inputResponses?.[key] ?? {}) as { roots?: { uri?: string }[] };
  return Array.isArray(roots) ? roots : undefined;
}

function tool(name: string, description: string, call: (context: ToolContext) => ReturnType<ToolFixture["call"]>) {
  const definition = { name: `test_${name}`, description, inputSchema: NO_ARGUMENTS };
  return { definition, call: (_args, context) => call(context) } satisfies ToolFixture;
}

/** Differs each time, as the suite asks of a state that changes between rounds. */
function state({ state: { requestStates } }: ToolContext, payload: Record<string, unknown>): Promise<string> {
  return requestStates.mint({ ...payload, nonce: randomUUID() });
}

const askName = (): InputRequest => elicit("What is your name?", "name");

const elicitation = tool("input_required_result_elicitation", "Asks for a name.", async (context) => {
  const name = elicited(context, "user_name", "name");
  if (typeof name !== "string") return inputRequired({ inputRequests: { user_name: askName() } });
  return textResult(`Hello, ${name}!`);
});

const sampling = tool("input_required_result_sampling", "Asks the client's model.", async (context) => {
  const answer = sampled(context, "capital_question");
  const capital_question = sample("What is the capital of France?", 100);
  if (answer === undefined) return inputRequired({ inputRequests: { capital_question } });
  return textResult(`Sampling response: ${answer}`);
});

const listRoots = tool("input_required_result_list_roots", "Asks for the client's roots.", async (context) => {
  const roots = rootsOf(context, "client_roots");
  if (roots === undefined) return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  return textResult(`Roots: ${roots.map(({ uri }) => uri).join(", ")}`);
});

const requestState = tool("input_required_result_request_state", "Asks, and gives a state along.", async (context) => {
  if (context.request.requestState() !== undefined && elicited(context, "confirm", "ok") !== undefined)
    return textResult("state-ok");
  const confirm = elicit("Please confirm", "ok", "boolean");
  return inputRequired({ inputRequests: { confirm }, requestState: await state(context, { tool: "request_state" }) });
});

/** The state is signed; the SDK has it checked before the tool is called, and refuses one that was tampered with. */
const tamperedState = tool("input_required_result_tampered_state", "Refuses a changed state.", async (context) => {
  if (context.request.requestState() !== undefined && elicited(context, "confirm", "ok") !== undefined)
    return textResult("integrity-ok");
  const confirm = elicit("Please confirm", "ok", "boolean");
  return inputRequired({ inputRequests: { confirm }, requestState: await state(context, { tool: "tampered_state" }) });
});

const multipleInputs = tool("input_required_result_multiple_inputs", "Asks three things at once.", async (context) => {
  const name = elicited(context, "user_name", "name");
  const greeting = sampled(context, "greeting");
  const roots = rootsOf(context, "client_roots");
  if (typeof name === "string" && greeting !== undefined && roots !== undefined)
    return textResult(`${greeting} ${name}, ${roots.length} root(s)`);
  return inputRequired({
    inputRequests: {
      user_name: askName(),
      greeting: sample("Generate a greeting", 50),
      client_roots: inputRequired.listRoots(),
    },
    requestState: await state(context, { tool: "multiple_inputs" }),
  });
});

const multiRound = tool("input_required_result_multi_round", "Asks twice, one after the other.", async (context) => {
  const { name: known } = context.request.requestState<{ name?: string }>() ?? {};
  if (known !== undefined && known !== "") {
    const color = elicited(context, "step2", "color");
    return textResult(`${known} likes ${typeof color === "string" ? color : "no color"}`);
  }
  const name = elicited(context, "step1", "name");
  if (typeof name === "string") {
    const step2 = elicit("Step 2: What is your favorite color?", "color");
    return inputRequired({ inputRequests: { step2 }, requestState: await state(context, { name }) });
  }
  const step1 = elicit("Step 1: What is your name?", "name");
  return inputRequired({ inputRequests: { step1 }, requestState: await state(context, { name: "" }) });
});

const capabilities = tool(
  "input_required_result_capabilities",
  "Asks only what the client can answer.",
  async (context) => {
    const { request } = context;
    if (request.inputResponses !== undefined)
      return textResult(`Answered: ${Object.keys(request.inputResponses).join(", ")}`);
    const declared = declaredCapabilities(context);
    const inputRequests: InputRequests = {
      ...(declared["elicitation"] !== undefined && { user_name: askName() }),
      ...(declared["sampling"] !== undefined && { greeting: sample("Generate a greeting", 50) }),
      ...(declared["roots"] !== undefined && { client_roots: inputRequired.listRoots() }),
    };
    if (Object.keys(inputRequests).length === 0) return textResult("The client can answer nothing");
    return inputRequired({ inputRequests });
  },
);

export function declaredCapabilities({ request, server }: ToolContext): Record<string, unknown> {
  const envelope = request.envelope as Record<string, Record<string, unknown>> | undefined;
  // oxlint-disable-next-line typescript/no-deprecated -- a legacy client has said it when it connected
  return envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? server.getClientCapabilities() ?? {};
}

/** Refused with -32021 to a client that does not say it can sample. */
const missingCapability = tool("missing_capability", "Needs a client that can sample.", async (context) => {
  const answer = sampled(context, "llm_answer");
  if (answer === undefined)
    return inputRequired({ inputRequests: { llm_answer: sample("Reply with the single word: pong", 16) } });
  return textResult(`Answered: ${answer}`);
});

const streamingElicitation = tool("streaming_elicitation", "Answers on a stream that carries no requests.", async () =>
  textResult("No request of the server's own was on this stream"),
);

export const inputRequiredTools: readonly ToolFixture[] = [
  elicitation,
  sampling,
  listRoots,
  requestState,
  tamperedState,
  multipleInputs,
  multiRound,
  capabilities,
  missingCapability,
  streamingElicitation,
];
