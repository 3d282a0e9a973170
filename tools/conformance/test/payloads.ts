// What the suite's scenarios say the fixtures answer with, written out: the suite itself looks at a part of it only.

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
const text = (value: string) => ({ type: "text", text: value });
const resource = (uri: string, mimeType: string, value: string) => ({
  type: "resource",
  resource: { uri, mimeType, text: value },
});
const user = (content: object) => ({ role: "user", content });

export const toolResults: readonly (readonly [string, Record<string, unknown>, object])[] = [
  ["test_simple_text", {}, { content: [text("This is a simple text response for testing.")] }],
  ["test_image_content", {}, { content: [{ type: "image", data: PNG, mimeType: "image/png" }] }],
  [
    "test_audio_content",
    {},
    {
      content: [
        {
          type: "audio",
          data: "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQIAAACAgA==",
          mimeType: "audio/wav",
        },
      ],
    },
  ],
  [
    "test_embedded_resource",
    {},
    { content: [resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")] },
  ],
  [
    "test_multiple_content_types",
    {},
    {
      content: [
        text("Multiple content types test:"),
        { type: "image", data: PNG, mimeType: "image/png" },
        resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
      ],
    },
  ],
  [
    "test_error_handling",
    {},
    { content: [text("This tool intentionally returns an error for testing")], isError: true },
  ],
  ["test_x_mcp_header", {}, { content: [text("region=<none>")] }],
  ["greet", { name: "World" }, { content: [text("Hello, World!")] }],
];

export const promptResults: readonly (readonly [string, Record<string, string>, object])[] = [
  ["test_simple_prompt", {}, { messages: [user(text("This is a simple prompt for testing."))] }],
  [
    "test_prompt_with_arguments",
    { arg1: "hello", arg2: "world" },
    { messages: [user(text("Prompt with arguments: arg1='hello', arg2='world'"))] },
  ],
  [
    "test_prompt_with_embedded_resource",
    { resourceUri: "test://example-resource" },
    {
      messages: [
        user(resource("test://example-resource", "text/plain", "Embedded resource content for testing.")),
        user(text("Please process the embedded resource above.")),
      ],
    },
  ],
  [
    "test_prompt_with_image",
    {},
    {
      messages: [
        user({ type: "image", data: PNG, mimeType: "image/png" }),
        user(text("Please analyze the image above.")),
      ],
    },
  ],
];

export const resourceContents: readonly (readonly [string, object])[] = [
  ["test://static-text", { mimeType: "text/plain", text: "This is the content of the static text resource." }],
  ["test://static-binary", { mimeType: "image/png", blob: PNG }],
  [
    "test://template/123/data",
    { mimeType: "application/json", text: '{"id":"123","templateTest":true,"data":"Data for ID: 123"}' },
  ],
];

/** Every name that the suite knows, and no other fixture would be missed by it. */
export const suiteTools: readonly string[] = [
  "test_simple_text",
  "test_image_content",
  "test_audio_content",
  "test_embedded_resource",
  "test_multiple_content_types",
  "test_tool_with_logging",
  "test_tool_with_progress",
  "test_error_handling",
  "test_reconnection",
  "test_sampling",
  "test_elicitation",
  "test_elicitation_sep1034_defaults",
  "test_elicitation_sep1330_enums",
  "json_schema_2020_12_tool",
  "test_x_mcp_header",
  "test_missing_capability",
  "test_streaming_elicitation",
  "test_logging_tool",
  "test_trigger_tool_change",
  "test_trigger_prompt_change",
  ...["elicitation", "sampling", "list_roots", "request_state", "multiple_inputs"].map(inputRequired),
  ...["multi_round", "tampered_state", "capabilities"].map(inputRequired),
  "greet",
  "slow_compute",
  "failing_job",
  "protocol_error_job",
  "confirm_delete",
  "multi_input",
  "test_tool_with_task",
];

function inputRequired(name: string): string {
  return `test_input_required_result_${name}`;
}
