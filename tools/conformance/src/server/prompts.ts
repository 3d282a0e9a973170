import {
  acceptedContent,
  type GetPromptResult,
  type InputRequiredResult,
  inputRequired,
  type Prompt,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { image } from "./payloads.ts";
import type { ServerState } from "./state.ts";
import { elicit } from "./tools/input-required.ts";

type PromptArguments = Readonly<Record<string, string>>;

interface PromptFixture {
  readonly definition: Prompt;
  readonly get: (args: PromptArguments, request: ServerContext["mcpReq"]) => GetPromptResult | InputRequiredResult;
  /** What an argument may be, given those that are filled in already. */
  readonly complete?: (argument: string, filledIn: PromptArguments) => readonly string[];
}

function user(content: GetPromptResult["messages"][number]["content"]): GetPromptResult["messages"][number] {
  return { role: "user", content };
}

function says(text: string): GetPromptResult["messages"][number] {
  return user({ type: "text", text });
}

const simple: PromptFixture = {
  definition: { name: "test_simple_prompt", title: "Simple", description: "A prompt without arguments." },
  get: () => ({ messages: [says("This is a simple prompt for testing.")] }),
};

const withArguments: PromptFixture = {
  definition: {
    name: "test_prompt_with_arguments",
    title: "With arguments",
    description: "A prompt with two arguments.",
    arguments: [
      { name: "arg1", description: "First test argument", required: true },
      { name: "arg2", description: "Second test argument", required: true },
    ],
  },
  get: ({ arg1, arg2 }) => ({ messages: [says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)] }),
  complete: (argument, { arg1 = "" }) => {
    if (argument === "arg1") return ["test-one", "test-two", "other"];
    return argument === "arg2" ? [`${arg1}-first`, `${arg1}-second`] : [];
  },
};

const withResource: PromptFixture = {
  definition: {
    name: "test_prompt_with_embedded_resource",
    title: "With a resource",
    description: "A prompt that carries a resource.",
    arguments: [{ name: "resourceUri", description: "URI of the resource to embed", required: true }],
  },
  get: ({ resourceUri: uri = "" }) => ({
    messages: [
      user({
        type: "resource",
        resource: { uri, mimeType: "text/plain", text: "Embedded resource content for testing." },
      }),
      says("Please process the embedded resource above."),
    ],
  }),
};

const withImage: PromptFixture = {
  definition: {
    name: "test_prompt_with_image",
    title: "With an image",
    description: "A prompt that carries an image.",
  },
  get: () => ({ messages: [user(image), says("Please analyze the image above.")] }),
};

const withInput: PromptFixture = {
  definition: { name: "test_input_required_result_prompt", description: "A prompt that asks the user first." },
  get: (_args, { inputResponses }) => {
    const context = acceptedContent<{ context?: string }>(inputResponses, "user_context")?.context;
    if (typeof context === "string") return { messages: [says(`Use the following context: ${context}`)] };
    const user_context = elicit("What context should the prompt use?", "context");
    return inputRequired({ inputRequests: { user_context } });
  },
};

const added: PromptFixture = {
  definition: { name: "test_added_prompt", description: "Is there after test_trigger_prompt_change." },
  get: () => ({ messages: [says("The added prompt")] }),
};

function available({ added: { prompt } }: ServerState): readonly PromptFixture[] {
  const fixed = [simple, withArguments, withResource, withImage, withInput];
  return prompt ? [...fixed, added] : fixed;
}

export function listPrompts(state: ServerState): readonly Prompt[] {
  return available(state).map(({ definition }) => definition);
}

/** @throws ProtocolError -32602 when there is none of that name, or a required argument is missing. */
export function getPrompt(name: string, args: PromptArguments, request: ServerContext["mcpReq"], state: ServerState) {
  const prompt = find(name, state);
  const missing = prompt.definition.arguments?.find((each) => each.required === true && args[each.name] === undefined);
  if (missing !== undefined)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Prompt ${name} needs the argument ${missing.name}`);
  return prompt.get(args, request);
}

export function completePrompt(name: string, argument: string, filledIn: PromptArguments, state: ServerState) {
  return find(name, state).complete?.(argument, filledIn) ?? [];
}

function find(name: string, state: ServerState): PromptFixture {
  const prompt = available(state).find(({ definition }) => definition.name === name);
  if (prompt === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Prompt ${name} not found`);
  return prompt;
}
