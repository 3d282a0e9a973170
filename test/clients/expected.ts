// What the conformance server answers, written out: what each client has to show, whatever is between.

const text = (value: string) => ({ type: "text", text: value });
const result = (value: string, isError = false) => ({ content: [text(value)], isError });
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const DATA_123 = '{"id":"123","templateTest":true,"data":"Data for ID: 123"}';
const ELICITED = '{"username":"ada","email":"ada@example.com"}';

const FIXED = {
  call: result("Hello, World!"),
  content: {
    content: [
      text("Multiple content types test:"),
      { type: "image", data: PNG, mimeType: "image/png" },
      {
        type: "resource",
        resource: {
          uri: "test://mixed-content-resource",
          mimeType: "application/json",
          text: '{"test":"data","value":123}',
        },
      },
    ],
    isError: false,
  },
  failure: result("This tool intentionally returns an error for testing", true),
  refusal: "refused",
  prompt: [{ role: "user", content: text("Prompt with arguments: arg1='hello', arg2='world'") }],
  completion: ["test-one", "test-two"],
  progress: [0, 50].map((progress) => ({ progress, total: 100, message: `Completed step ${progress} of 100` })),
  elicitation: result(`User response: action=accept, content=${ELICITED}`),
  sampling: result("LLM response: Four."),
  roots: result('[{"uri":"file:///project","name":"Project"}]'),
  logging: ["Tool execution started", "Tool processing data", "Tool execution completed"],
  cancel: "given up, and the server was told",
};

export type Lists = Readonly<Record<"tools" | "prompts" | "resources" | "templates", readonly string[]>>;

/** Where a name that a server gives is to be found, in one place or under each of several prefixes. */
export interface Prefixes {
  readonly tool: readonly string[];
  readonly uri: readonly string[];
}

export function listsUnder({ tool, uri }: Prefixes, lists: Lists): Lists {
  const under = (prefixes: readonly string[], names: readonly string[]) =>
    prefixes.flatMap((prefix) => names.map((name) => `${prefix}${name}`)).toSorted();
  return {
    tools: under(tool, lists.tools),
    prompts: under(tool, lists.prompts),
    resources: under(uri, lists.resources),
    templates: under(uri, lists.templates),
  };
}

/** What a client reports that has taken these steps. */
export function expectedReport(
  steps: readonly string[],
  { revision, lists, uriPrefix }: { revision: string; lists: Lists; uriPrefix: string },
): Record<string, unknown> {
  const resource = (uri: string, mimeType: string, value: string) => [
    { uri: `${uriPrefix}${uri}`, mimeType, text: value },
  ];
  const all: Record<string, unknown> = {
    revision,
    ...lists,
    ...FIXED,
    resource: resource("test://static-text", "text/plain", "This is the content of the static text resource."),
    updates: [`${uriPrefix}test://watched-resource`],
    template: resource("test://template/123/data", "application/json", DATA_123),
  };
  return Object.fromEntries(steps.map((step) => [step, all[step]]));
}
