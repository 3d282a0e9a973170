import type { Command } from "commander";
import { readArguments } from "../call-arguments.ts";
import { type Declare, more } from "../command.ts";
import { type McpSession, openMcpSession } from "../mcp-session.ts";
import type { Row } from "../table.ts";
import { printable } from "../terminal-text.ts";

interface Options {
  readonly arg?: readonly string[];
  readonly args?: string;
  readonly group?: string;
}

/** Pages of a server's tools that are looked through for one of them. */
const PAGES_MAX = 100;

export const declare: Declare = (command: Command, act) => {
  command
    .description("Calls a tool as an AI client does: decided, recorded and billed like any call.")
    .argument("<server>")
    .argument("<tool>", "as the server names it")
    .option("--arg <name=value>", "an argument; may be given again", more)
    .option("--args <json>", "all arguments; - is the standard input")
    .option("--group <id>", "the server's, for a token that may not look it up")
    .action(
      act<Options>(async ({ args: [server, tool], options, here, api, target }) => {
        const gateway = await target();
        const group =
          options.group ?? (await (await api()).get(`/api/v1/servers/${encodeURIComponent(server!)}`))["group"];
        const path = `/mcp/${encodeURIComponent(group as string)}/${encodeURIComponent(server!)}`;
        const session = await openMcpSession({ gateway, path, token: gateway.clientToken });
        try {
          const schema = options.arg === undefined ? {} : await schemaOf(session, tool!);
          const answer = (await session.call(tool!, readArguments(options, { here, schema }) ?? {})) as Row;
          return { answer, text: contentOf(answer), code: answer["isError"] === true ? 1 : 0 };
        } finally {
          await session.close();
        }
      }),
    );
};

interface ListedTools {
  readonly tools: readonly { readonly name: string; readonly inputSchema?: Row }[];
  readonly nextCursor?: string;
}

async function schemaOf(session: McpSession, tool: string): Promise<Row> {
  let cursor: string | undefined;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = (await session.request("tools/list", cursor === undefined ? {} : { cursor })) as ListedTools;
    const found = page.tools.find(({ name }) => name === tool);
    if (found !== undefined) return found.inputSchema ?? {};
    cursor = page.nextCursor;
    if (cursor === undefined) break;
  }
  return {};
}

/** What a model would read; of what is no text, what it is. */
function contentOf({ content, structuredContent }: Row): string {
  const parts = (Array.isArray(content) ? content : []) as Row[];
  const texts = parts.map((part) => {
    if (typeof part["text"] === "string") return printable(part["text"]);
    const { data, ...rest } = part;
    return `[${JSON.stringify({ ...rest, ...(typeof data === "string" ? { base64Chars: data.length } : {}) })}]`;
  });
  if (texts.length > 0 || structuredContent === undefined) return texts.join("\n");
  return JSON.stringify(structuredContent, null, 2);
}
