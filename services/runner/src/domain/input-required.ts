import { findMembers, type RequestFrame, type ResponseFrame, splice } from "@tollgate/mcp";

/** The requests that a modern server may put into a result, and that a modern client therefore understands. */
const INPUT_METHODS = new Set(["sampling/createMessage", "elicitation/create", "roots/list"]);

export function isInputMethod(method: string): boolean {
  return INPUT_METHODS.has(method);
}

/** What a server wants to know before it goes on (2026-07-28, multi round-trip requests). */
export interface InputRequest {
  readonly key: string;
  readonly method: string;
  /** As JSON, as its server wrote it; undefined where there are none. */
  readonly paramsText: string | undefined;
}

export function isInputRequired(result: unknown): boolean {
  return (result as { resultType?: unknown } | null)?.resultType === "input_required";
}

/** The requests in a server's `input_required` result. What is none has no method. */
export function inputRequestsOf(frame: ResponseFrame): InputRequest[] {
  const { text } = frame;
  const requests = (frame.result as { inputRequests?: unknown }).inputRequests;
  if (typeof requests !== "object" || requests === null) return [];
  const result = findMembers(text, frame.members.spans["result"]!.start, ["inputRequests"])!;
  const keys = Object.keys(requests);
  const members = findMembers(text, result.spans["inputRequests"]!.start, keys);
  return keys.map((key) => {
    const span = members?.spans[key];
    const params = span && findMembers(text, span.start, ["params"])?.spans["params"];
    const method = (requests as Record<string, { method?: unknown } | null>)[key]?.method;
    return {
      key,
      method: typeof method === "string" ? method : "",
      paramsText: params && text.slice(params.start, params.end),
    };
  });
}

/** A legacy server's question as it stands in its own request. */
export function inputRequestOf(key: string, { text, method, members }: RequestFrame): InputRequest {
  const params = members.spans["params"];
  return { key, method, paramsText: params && text.slice(params.start, params.end) };
}

/** The request that a legacy client gets. */
export function requestText(id: string, { method, paramsText }: InputRequest): string {
  const params = paramsText === undefined ? "" : `,"params":${paramsText}`;
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"method":${JSON.stringify(method)}${params}}`;
}

/** The answer to a modern client whose call waits for it. */
export function inputRequiredText(idText: string, requests: readonly InputRequest[], requestState: string): string {
  const inputRequests = requests.map(({ key, method, paramsText }) => {
    const params = paramsText === undefined ? "" : `,"params":${paramsText}`;
    return `${JSON.stringify(key)}:{"method":${JSON.stringify(method)}${params}}`;
  });
  const members = `"resultType":"input_required","inputRequests":{${inputRequests.join(",")}}`;
  return `{"jsonrpc":"2.0","id":${idText},"result":{${members},"requestState":${JSON.stringify(requestState)}}}`;
}

/** What a modern client has answered, by key; each as it wrote it. */
export function inputResponsesOf({ text, members }: RequestFrame, keys: readonly string[]): Map<string, string> {
  const params = members.spans["params"];
  const responses = params && findMembers(text, params.start, ["inputResponses"])?.spans["inputResponses"];
  const given = responses && findMembers(text, responses.start, keys);
  return new Map(Object.entries(given?.spans ?? {}).map(([key, { start, end }]) => [key, text.slice(start, end)]));
}

/** The request once more, with what its server wanted to know and the state that it wants back. All as JSON. */
export function withInputResponses(
  { text, members }: RequestFrame,
  responses: ReadonlyMap<string, string>,
  requestStateText: string | undefined,
): string {
  const entries = [...responses].map(([key, value]) => `${JSON.stringify(key)}:${value}`);
  const added = [
    ...(entries.length === 0 ? [] : [`"inputResponses":{${entries.join(",")}}`]),
    ...(requestStateText === undefined ? [] : [`"requestState":${requestStateText}`]),
  ].join(",");
  const span = members.spans["params"];
  const params = span && findMembers(text, span.start, []);
  if (params === undefined || added === "") return text;
  return splice(text, [{ start: params.open, end: params.open, text: params.empty ? added : `${added},` }]);
}
