// Tools that ask their client something: as requests of their own to a legacy client, as input_required to a modern one.
// The SDK turns what they return into what the client's revision knows.
import { randomUUID } from "node:crypto";
import {
  type CallToolResult,
  type ElicitInputParams,
  type InputRequest,
  inputRequired,
  UrlElicitationRequiredError,
} from "@modelcontextprotocol/server";
import { errorResult, textResult } from "../payloads.ts";
import { NO_ARGUMENTS, stringOf, type ToolArguments, type ToolContext, type ToolFixture } from "../tool.ts";

type Properties = Extract<ElicitInputParams["requestedSchema"], { type: "object" }>["properties"];

interface Question {
  readonly name: string;
  readonly description: string;
  readonly inputSchema?: ToolFixture["definition"]["inputSchema"];
  readonly ask: (args: ToolArguments) => InputRequest;
  readonly answered: (response: Record<string, unknown>) => CallToolResult;
}

function asking({ name, description, inputSchema = NO_ARGUMENTS, ask, answered }: Question): ToolFixture {
  return {
    definition: { name, description, inputSchema },
    call: async (args, { request }) => {
      const response = request.inputResponses?.["answer"];
      if (response === undefined) return inputRequired({ inputRequests: { answer: ask(args) } });
      return answered(response as Record<string, unknown>);
    },
  };
}

function form(message: string, properties: Properties, required?: string[]): InputRequest {
  return inputRequired.elicit({
    message,
    requestedSchema: { type: "object", properties, ...(required && { required }) },
  });
}

const completed = ({ action, content }: Record<string, unknown>): CallToolResult =>
  textResult(`Elicitation completed: action=${String(action)}, content=${JSON.stringify(content ?? {})}`);

const sampling = asking({
  name: "test_sampling",
  description: "Asks the client's model.",
  inputSchema: {
    type: "object",
    properties: { prompt: { type: "string", description: "The prompt to send to the LLM" } },
    required: ["prompt"],
  },
  ask: (args) =>
    inputRequired.createMessage({
      messages: [{ role: "user", content: { type: "text", text: stringOf(args, "prompt") } }],
      maxTokens: 100,
    }),
  answered: ({ content }) => textResult(`LLM response: ${(content as { text?: string } | undefined)?.text ?? ""}`),
});

const elicitForm = asking({
  name: "test_elicitation",
  description: "Asks the user for a name and an address.",
  inputSchema: {
    type: "object",
    properties: { message: { type: "string", description: "The message to show the user" } },
    required: ["message"],
  },
  ask: (args) =>
    form(
      stringOf(args, "message"),
      {
        username: { type: "string", description: "User's response" },
        email: { type: "string", description: "User's email address" },
      },
      ["username", "email"],
    ),
  answered: ({ action, content }) =>
    textResult(`User response: action=${String(action)}, content=${JSON.stringify(content ?? {})}`),
});

const defaults = asking({
  name: "test_elicitation_sep1034_defaults",
  description: "Asks with a default for each primitive type.",
  ask: () =>
    form("Please review and update the form fields with defaults", {
      name: { type: "string", description: "User name", default: "John Doe" },
      age: { type: "integer", description: "User age", default: 30 },
      score: { type: "number", description: "User score", default: 95.5 },
      status: {
        type: "string",
        description: "User status",
        enum: ["active", "inactive", "pending"],
        default: "active",
      },
      verified: { type: "boolean", description: "Verification status", default: true },
    }),
  answered: completed,
});

const titled = (noun: string) =>
  ["First", "Second", "Third"].map((nth, index) => ({ const: `value${index + 1}`, title: `${nth} ${noun}` }));

const enums = asking({
  name: "test_elicitation_sep1330_enums",
  description: "Asks with each way to write a choice.",
  ask: () =>
    form("Please select options from the enum fields", {
      untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
      titledSingle: { type: "string", oneOf: titled("Option") },
      legacyEnum: {
        type: "string",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"],
      },
      untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2", "option3"] } },
      titledMulti: { type: "array", items: { anyOf: titled("Choice") } },
    }),
  answered: completed,
});

const listRoots = asking({
  name: "test_list_roots",
  description: "Asks for the client's roots.",
  ask: () => inputRequired.listRoots(),
  answered: ({ roots }) => textResult(JSON.stringify(roots)),
});

const URL_MESSAGE = "Please sign in";
const SIGN_IN_URL = "https://example.com/sign-in";

/** 2025-11-25 gives the elicitation an id, and says when what it led to is done. */
async function elicitUrlByRequest({ request, server }: ToolContext): Promise<CallToolResult> {
  const elicitationId = randomUUID();
  const params = { mode: "url", message: URL_MESSAGE, url: SIGN_IN_URL, elicitationId };
  const { action } = await request.send({ method: "elicitation/create", params });
  if (action === "accept")
    await server.createElicitationCompletionNotifier(elicitationId, { relatedRequestId: request.id })();
  return textResult(`URL elicitation completed: action=${action}`);
}

const elicitationUrl: ToolFixture = {
  definition: {
    name: "test_elicitation_url",
    description: "Sends the user to an address.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async (_args, context) => {
    if (context.era === "legacy") return elicitUrlByRequest(context);
    const response = context.request.inputResponses?.["sign_in"];
    if (response === undefined) {
      const sign_in = inputRequired.elicitUrl({ message: URL_MESSAGE, url: SIGN_IN_URL });
      return inputRequired({ inputRequests: { sign_in } });
    }
    return textResult(`URL elicitation completed: action=${String((response as { action?: string }).action)}`);
  },
};

/** The error -32042 of 2025-11-25; modern revisions have none such. */
const urlElicitationRequired: ToolFixture = {
  definition: {
    name: "test_url_elicitation_required",
    description: "Refuses until the user has been at an address.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async (_args, { era }) => {
    if (era === "modern") return errorResult("This revision has test_elicitation_url instead");
    const elicitation = { mode: "url" as const, message: URL_MESSAGE, url: SIGN_IN_URL, elicitationId: "sign-in" };
    throw new UrlElicitationRequiredError([elicitation]);
  },
};

export const clientRequestTools: readonly ToolFixture[] = [
  sampling,
  elicitForm,
  defaults,
  enums,
  listRoots,
  elicitationUrl,
  urlElicitationRequired,
];
