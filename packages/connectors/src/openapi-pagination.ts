import { type Fields, fieldsAt } from "./openapi-document.ts";
import type { JsonSchema } from "./openapi-schema.ts";
import type { OperationParameter, PaginationGuess } from "./operation.ts";

// The names that public APIs use most, without case and separators.
const CURSOR =
  /^(?:cursor|after|startingafter|pagetoken|nexttoken|nextpagetoken|continuation|continuationtoken|marker)$/;
const PAGE = /^(?:page|pagenumber|pageno)$/;
const OFFSET = /^(?:offset|skip|startat|startindex)$/;
const SIZE = /^(?:limit|perpage|pagesize|size|count|maxresults|first|top)$/;
const NEXT = /^(?:next|nextcursor|nextpagetoken|nexttoken|continuationtoken|cursor|endcursor|nextmarker)$/;

/** By the names of the query's parameters and of the answer's members and headers. */
export function guessPagination(operation: {
  readonly parameters: readonly OperationParameter[];
  readonly outputSchema: JsonSchema | undefined;
  readonly answer: Fields | undefined;
}): PaginationGuess | undefined {
  const { parameters, outputSchema, answer } = operation;
  const query = parameters.filter((each) => each.in === "query").map(({ name }) => name);
  const named = (pattern: RegExp) => query.find((name) => pattern.test(simplified(name)));
  const sizeName = named(SIZE);
  const size = sizeName === undefined ? {} : { size: sizeName };
  const cursor = named(CURSOR);
  if (cursor !== undefined) {
    const next = nextIn(outputSchema, 2);
    return { style: "cursor", parameter: cursor, ...(next === undefined ? {} : { next }), ...size };
  }
  if (Object.keys(fieldsAt(answer, "headers")).some((name) => name.toLowerCase() === "link")) return { style: "link" };
  const page = named(PAGE);
  if (page !== undefined) return { style: "page", parameter: page, ...size };
  const offset = named(OFFSET);
  return offset === undefined ? undefined : { style: "offset", parameter: offset, ...size };
}

/** Some have it beside the items, others in an object of its own. */
function nextIn(schema: unknown, depth: number): string | undefined {
  const members = Object.entries(fieldsAt(schema, "properties"));
  const own = members.find(([name]) => NEXT.test(simplified(name)));
  if (own !== undefined) return pointerTo(own[0]);
  if (depth === 1) return undefined;
  for (const [name, member] of members) {
    const inner = nextIn(member, depth - 1);
    if (inner !== undefined) return `${pointerTo(name)}${inner}`;
  }
  return undefined;
}

/** RFC 6901. */
function pointerTo(name: string): string {
  return `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function simplified(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z]/g, "");
}
