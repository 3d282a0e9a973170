import type { OutgoingHttpHeaders } from "node:http";
import { type Frame, frameOf } from "./frame.ts";
import { encodeHeaderValue } from "./headers.ts";
import { rawMember, rawMembers } from "./raw-json.ts";
import { isObject } from "./rpc-error.ts";

/** The error of a server that misses a header (MCP 2026-07-28). It has not run anything. */
export const HEADER_MISMATCH = -32020;

const ANNOTATION = "x-mcp-header";
const PRIMITIVE_TYPES: ReadonlySet<unknown> = new Set(["string", "integer", "boolean"]);
/** Keywords whose values are data: an annotation's name in there annotates nothing. */
const DATA_KEYWORDS: ReadonlySet<string> = new Set(["default", "const", "enum", "examples"]);
const toolsMax = 4_096;
const pathLengthMax = 64;
const pagesMax = 32;

/** An argument that a call repeats as a header: the path to it, and the name behind `Mcp-Param-`. */
interface MirroredArgument {
  readonly path: readonly string[];
  readonly name: string;
}

/**
 * Which arguments of which tool a call repeats as headers (MCP 2026-07-28, Streamable HTTP, "Custom Headers from Tool
 * Parameters"), learned from the lists of tools that pass.
 */
export class ToolHeaders {
  readonly #tools = new Map<string, readonly MirroredArgument[]>();

  /**
   * Learns from the answer to a `tools/list`. Returns it for the client: as it came, but without the tools whose
   * annotations are wrong, as a client on HTTP has to leave them out. `onInvalid` gets the name and what is wrong.
   */
  learn(line: string, onInvalid: (name: string, problem: string) => void): string {
    // Hardly any list has annotations, and only those are worth a closer look; but one may have lost them.
    if (!line.includes(ANNOTATION) && this.#tools.size === 0) return line;
    const { result } = JSON.parse(line) as { result?: unknown };
    const tools: unknown[] = isObject(result) && Array.isArray(result["tools"]) ? result["tools"] : [];
    const invalid = new Set<number>();
    for (const [index, tool] of tools.entries()) {
      if (!isObject(tool) || typeof tool["name"] !== "string") continue;
      const found = mirroredArguments(tool["inputSchema"]);
      this.#tools.delete(tool["name"]);
      if (typeof found === "string") {
        invalid.add(index);
        onInvalid(tool["name"], found);
      } else if (found.length > 0 && this.#tools.size < toolsMax) this.#tools.set(tool["name"], found);
    }
    return invalid.size === 0 ? line : withoutTools(line, invalid);
  }

  /** Looks through the tools again for the sake of one call. `ask` returns the answer's text. */
  async relearn(call: Frame, ask: (list: Frame) => Promise<string | undefined>): Promise<void> {
    const meta = rawMember(rawMember(call.bytes.toString("utf8"), "params") ?? "{}", "_meta") ?? "{}";
    let cursor: string | undefined;
    for (let page = 0; page < pagesMax; page++) {
      const position = cursor === undefined ? "" : `"cursor":${JSON.stringify(cursor)},`;
      const list = `{"jsonrpc":"2.0","id":"tollgate-bridge","method":"tools/list","params":{${position}"_meta":${meta}}}`;
      const answer = await ask(frameOf(list));
      const { result } = answer === undefined ? {} : (JSON.parse(answer) as { result?: unknown });
      if (answer === undefined || !isObject(result)) return;
      this.learn(answer, () => {});
      if (typeof result["nextCursor"] !== "string") return;
      cursor = result["nextCursor"];
    }
  }

  /** The `Mcp-Param-*` headers of a call. An argument that is not there, or null, has none. */
  headers(frame: Frame): OutgoingHttpHeaders {
    const { name, arguments: given } = frame.params;
    const mirrored = frame.method === "tools/call" && typeof name === "string" ? (this.#tools.get(name) ?? []) : [];
    return Object.fromEntries(
      mirrored.flatMap((argument) => {
        const value = argument.path.reduce<unknown>(
          (at, key) => (isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined),
          given,
        );
        if (!["string", "number", "boolean"].includes(typeof value)) return [];
        return [[`mcp-param-${argument.name.toLowerCase()}`, encodeHeaderValue(String(value))]];
      }),
    );
  }
}

/** The annotated properties of an input schema, or what is wrong with an annotation. */
function mirroredArguments(inputSchema: unknown): readonly MirroredArgument[] | string {
  const found: MirroredArgument[] = [];
  const names = new Set<string>();
  // A list of what is left to look at instead of recursion: a schema may be nested as deep as it likes.
  const open: { node: unknown; path: readonly string[] | undefined }[] = [{ node: inputSchema, path: [] }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { node, path } = next;
    if (Array.isArray(node)) for (const each of node) open.push({ node: each, path: undefined });
    if (!isObject(node)) continue;
    if (Object.hasOwn(node, ANNOTATION)) {
      const name = node[ANNOTATION];
      const problem = problemWith(node, path, names);
      if (problem !== undefined) return problem;
      names.add(String(name).toLowerCase());
      found.push({ path: path ?? [], name: String(name) });
    }
    for (const [key, child] of Object.entries(node)) {
      if (key === "properties" && isObject(child)) {
        const isReachable = path !== undefined && path.length < pathLengthMax;
        for (const [property, schema] of Object.entries(child))
          open.push({ node: schema, path: isReachable ? [...path, property] : undefined });
      } else if (!DATA_KEYWORDS.has(key)) open.push({ node: child, path: undefined });
    }
  }
  return found;
}

function problemWith(
  schema: Record<string, unknown>,
  path: readonly string[] | undefined,
  names: ReadonlySet<string>,
): string | undefined {
  const name = schema[ANNOTATION];
  if (path === undefined || path.length === 0)
    return `${ANNOTATION} stands where no argument can be reached by its name`;
  const where = `${ANNOTATION} of ${path.join(".")}`;
  // A token of RFC 9110, section 5.6.2.
  if (typeof name !== "string" || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return `${where} is no header name`;
  if (!PRIMITIVE_TYPES.has(schema["type"])) return `${where} belongs to neither a string, an integer nor a boolean`;
  return names.has(name.toLowerCase()) ? `${where} is given twice: ${name}` : undefined;
}

/** Takes elements out of `result.tools` and leaves the rest of the text as it is. */
function withoutTools(line: string, left: ReadonlySet<number>): string {
  const replaced = (text: string, key: string, change: (value: string) => string): string =>
    `{${rawMembers(text)
      .map((member) => `${JSON.stringify(member.key)}:${member.key === key ? change(member.value) : member.value}`)
      .join(",")}}`;
  const kept = (tools: string): string =>
    `[${rawMembers(tools)
      .filter((_tool, index) => !left.has(index))
      .map(({ value }) => value)
      .join(",")}]`;
  return replaced(line, "result", (result) => replaced(result, "tools", kept));
}
