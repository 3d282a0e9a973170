import { findMembers, type RequestFrame, type ResponseFrame } from "@tollgate/mcp";

/** A call's arguments as its client wrote them. */
export function argumentsTextOf({ text, members }: RequestFrame): string | undefined {
  const params = members.spans["params"];
  const span = params && findMembers(text, params.start, ["arguments"])?.spans["arguments"];
  return span && text.slice(span.start, span.end);
}

/** The result as its server wrote it; undefined where that answered with an error. */
export function resultTextOf({ text, members }: ResponseFrame): string | undefined {
  const span = members.spans["result"];
  return span && text.slice(span.start, span.end);
}
