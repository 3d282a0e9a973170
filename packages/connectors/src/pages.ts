import type { Pagination } from "./connector.ts";
import { isObject, plainText } from "./exact-json.ts";
import type { ConnectorOperation, OperationParameter } from "./operation.ts";
import { escaped } from "./parameter-text.ts";
import { valueAt, withValueAt } from "./pointer.ts";
import { argumentOf } from "./request.ts";

/** How a call gets a list's further pages. */
export interface PagePlan {
  readonly pagesMax: number;
  /** The path of the first request, with what says how long a page is to be. */
  first(path: string): string;
  /** Where the list is in an answer; undefined where there is none, and no further page. */
  listAt(value: unknown): string | undefined;
  /** What comes after a page; undefined after the last. */
  next(page: Page): NextPage | undefined;
}

export interface Page {
  readonly value: unknown;
  /** The header Link, or "". */
  readonly link: string;
  /** Items of this page, and of all pages so far. */
  readonly items: number;
  readonly itemsSoFar: number;
  /** So many pages before it. */
  readonly index: number;
}

export interface NextPage {
  /** Of the first request: its own for the next. An absolute or relative url where the API says where the next page is. */
  readonly target: { readonly path: (first: string) => string } | { readonly url: string };
  /** What a caller has to give to go on from there; "" where there is no argument for it. */
  readonly goOn: string;
}

type Arguments = Readonly<Record<string, unknown>>;
type Paged = Exclude<Pagination, { style: "none" | "auto" }>;

/** Undefined where a call is one request: also when its caller asks for a page by name. */
export function planPages(
  operation: ConnectorOperation,
  args: Arguments,
  pagination: Pagination,
): PagePlan | undefined {
  const paged = pagination.style === "auto" ? guessed(operation, pagination) : pagination;
  if (paged.style === "none" || operation.method !== "GET") return undefined;
  const { items, pagesMax } = paged;
  const lists = { pagesMax, listAt: (value: unknown) => listIn(value, items) };
  if (paged.style === "link") return { ...lists, first: (path) => path, next: (page) => linked(page, paged.cursor) };
  const parameter = queryParameter(operation, paged.parameter);
  if (parameter === undefined || (argumentOf(args, parameter.argument) ?? null) !== null) return undefined;
  const size = sizeOf(operation, args, paged);
  return {
    ...lists,
    first: (path) => (size.wanted === undefined ? path : withQuery(path, paged.sizeParameter, size.wanted)),
    next(page) {
      const value = nextValue(page, { paged, operation, parameter, size: size.known });
      if (value === undefined) return undefined;
      const goOn = `${parameter.argument}: ${JSON.stringify(value)}`;
      return { target: { path: (first) => withQuery(first, parameter.name, value) }, goOn };
    },
  };
}

/** All pages as one: the last one's value, with the items of all. */
export function joinPages(last: unknown, listPointer: string, items: readonly unknown[]): unknown {
  return withValueAt(last, listPointer, items);
}

function guessed(
  { pagination: guess }: ConnectorOperation,
  { items, pagesMax }: Pagination & { style: "auto" },
): Paged | { readonly style: "none" } {
  if (guess === undefined) return { style: "none" };
  const pages = { items, pagesMax };
  if (guess.style === "link") return { style: "link", ...pages, cursor: "" };
  const sized = { ...pages, parameter: guess.parameter, sizeParameter: guess.size ?? "", size: 0 };
  if (guess.style !== "cursor") return { style: guess.style, ...sized };
  return guess.next === undefined ? { style: "none" } : { style: "cursor", ...sized, cursor: guess.next };
}

function queryParameter({ parameters }: ConnectorOperation, wanted: string): OperationParameter | undefined {
  return parameters.find(({ in: place, name }) => place === "query" && name === wanted);
}

/** `wanted`: to be asked for; `known`: how long a page is, where somebody has said it. */
function sizeOf(
  operation: ConnectorOperation,
  args: Arguments,
  { sizeParameter, size }: Exclude<Paged, { style: "link" }>,
): { wanted?: string; known?: number } {
  const parameter = queryParameter(operation, sizeParameter);
  const given = parameter && plainText(argumentOf(args, parameter.argument));
  if (given !== undefined) return /^\d+$/.test(given) ? { known: Number(given) } : {};
  return parameter === undefined || size === 0 ? {} : { wanted: String(size), known: size };
}

function listIn(value: unknown, pointer: string): string | undefined {
  if (pointer !== "") return Array.isArray(valueAt(value, pointer)) ? pointer : undefined;
  if (Array.isArray(value)) return "";
  const lists = isObject(value) ? Object.entries(value).filter(([, each]) => Array.isArray(each)) : [];
  return lists.length === 1 ? `/${lists[0]![0].replaceAll("~", "~0").replaceAll("/", "~1")}` : undefined;
}

interface Walk {
  readonly paged: Exclude<Paged, { style: "link" }>;
  readonly operation: ConnectorOperation;
  readonly parameter: OperationParameter;
  readonly size: number | undefined;
}

function nextValue(page: Page, { paged, operation, parameter, size }: Walk): string | undefined {
  if (paged.style === "cursor") return plainText(valueAt(page.value, paged.cursor)) || undefined;
  if (page.items === 0 || (size !== undefined && page.items < size)) return undefined;
  if (paged.style === "offset") return String(startOf(operation, parameter, 0) + page.itemsSoFar);
  return String(startOf(operation, parameter, 1) + page.index + 1);
}

/** Where the first page begins, where the operation does not say anything else. */
function startOf({ inputSchema }: ConnectorOperation, { argument }: OperationParameter, usual: number): number {
  const { properties } = inputSchema;
  const schema = isObject(properties) ? properties[argument] : undefined;
  const { default: byDefault, minimum } = (isObject(schema) ? schema : {}) as { default?: unknown; minimum?: unknown };
  if (typeof byDefault === "number") return byDefault;
  return minimum === 0 ? 0 : usual;
}

function linked({ value, link }: Page, cursor: string): NextPage | undefined {
  const url = cursor === "" ? nextInLink(link) : plainText(valueAt(value, cursor));
  return url === undefined || url === "" ? undefined : { target: { url }, goOn: "" };
}

/** RFC 8288, section 3. */
function nextInLink(header: string): string | undefined {
  for (const [, url, parameters] of header.matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (/;\s*rel="?(?:[^";,]*\s)?next(?:\s[^";,]*)?"?\s*(?:[;,]|$)/i.test(parameters!)) return url;
  }
  return undefined;
}

/** The path with this query parameter, once. */
export function withQuery(path: string, name: string, value: string): string {
  const [place = "", query = ""] = path.split("?", 2);
  const key = escaped(name);
  const others = query.split("&").filter((pair) => pair !== "" && pair.split("=", 1)[0] !== key);
  return `${place}?${[...others, `${key}=${escaped(value)}`].join("&")}`;
}
