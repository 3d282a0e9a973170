import type { Connector } from "./connector.ts";
import { isObject, readExactly } from "./exact-json.ts";
import type { ConnectorOperation } from "./operation.ts";
import { valueAt } from "./pointer.ts";

const ERROR_MAX_CHARS = 4_096;

/** An API's answer to a request. */
export interface ApiAnswer {
  readonly status: number;
  readonly statusText: string;
  /** The header content-type, or "". */
  readonly contentType: string;
  readonly body: Buffer;
}

export interface ResultOptions {
  readonly operation: Pick<ConnectorOperation, "name" | "outputSchema">;
  readonly result: Connector["result"];
}

/** A tool's result as JSON (MCP 2026-07-28), of an answer as it came. */
export function answerResult(answer: ApiAnswer, options: ResultOptions): string {
  const { status, statusText, contentType, body } = answer;
  if (status < 200 || status > 299) {
    const said = isText(contentType) ? textOf(answer).trim().slice(0, ERROR_MAX_CHARS) : "";
    return errorResult(`${`HTTP ${status} ${statusText}`.trim()}${said === "" ? "" : `\n${said}`}`);
  }
  if (body.length === 0) return textResult(`HTTP ${status}, without content`, promised(options, undefined));
  const text = isText(contentType) ? textOf(answer) : undefined;
  if (text !== undefined && (contentType === "" || isJson(contentType))) {
    const value = parsed(text);
    if (value !== undefined) return valueResult(value, options, text);
  }
  const lacking = promised(options, undefined);
  if (text !== undefined) return textResult(text, lacking);
  return result([binaryContent(answer, options.operation.name)], lacking);
}

/** Likewise of a value that is no answer as it came: several pages. `note` says what is missing. */
export function joinedResult(value: unknown, options: ResultOptions, note: string): string {
  return valueResult({ value }, options, undefined, note);
}

/** For the tool's caller: what it did wrong, or what the API does not like. */
export function errorResult(message: string): string {
  return result([textBlock(message)], ',"isError":true');
}

function valueResult(
  { value }: { readonly value: unknown },
  options: ResultOptions,
  asItCame: string | undefined,
  note = "",
): string {
  const { pick } = options.result;
  const found = pick === "" ? undefined : valueAt(value, pick);
  const shown = found === undefined ? value : found;
  const json = found === undefined && asItCame !== undefined ? asItCame : JSON.stringify(shown);
  const content = [textBlock(typeof shown === "string" ? shown : json)];
  if (note !== "") content.push(textBlock(note));
  return result(content, isObject(shown) ? structured(json) : promised(options, shown));
}

/** On one line: line breaks stand only between the parts of JSON, never within strings. */
function structured(json: string): string {
  return `,"structuredContent":${json.replaceAll(/[\r\n]+/g, " ")}`;
}

/** A tool that promises an object must not give anything else but an error. */
function promised({ operation, result: { schema } }: ResultOptions, value: unknown): string {
  return schema && operation.outputSchema !== undefined && !isObject(value) ? ',"isError":true' : "";
}

function textResult(said: string, more: string): string {
  return result([textBlock(said)], more);
}

const textBlock = (text: string) => ({ type: "text", text });

function result(content: readonly object[], more: string): string {
  return `{"resultType":"complete","content":${JSON.stringify(content)}${more}}`;
}

/** Undefined where it is no JSON. */
function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: readExactly(text) };
  } catch {
    return undefined;
  }
}

const isJson = (type: string) => /^[\w.+-]+\/(?:[\w.-]+\+)?json(?:;|$)/i.test(type);

function isText(type: string): boolean {
  return (
    type === "" || isJson(type) || /^text\/|[/+](?:xml|yaml|javascript|x-www-form-urlencoded|csv)(?:;|$)/i.test(type)
  );
}

function textOf({ contentType, body }: ApiAnswer): string {
  const [, charset = "utf-8"] = /;\s*charset="?([\w-]+)/i.exec(contentType) ?? [];
  try {
    return new TextDecoder(charset).decode(body);
  } catch {
    return body.toString("utf8");
  }
}

function binaryContent({ contentType, body }: ApiAnswer, operation: string): object {
  const mimeType = contentType.split(";", 1)[0]!.trim().toLowerCase();
  const data = body.toString("base64");
  const [, kind] = /^(image|audio)\//.exec(mimeType) ?? [];
  if (kind !== undefined) return { type: kind, data, mimeType };
  // It is nowhere to be read again: the name says what it is of.
  return { type: "resource", resource: { uri: `tollgate-answer:${operation}`, mimeType, blob: data } };
}
