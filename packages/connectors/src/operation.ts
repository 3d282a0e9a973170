import type { Risk } from "@tollgate/contracts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;
export type Method = (typeof METHODS)[number];

/** How a value becomes text (OpenAPI 3.1, Parameter Object): path and header know `simple`, query and cookie `form`. */
export const PARAMETER_STYLES = [
  "simple",
  "label",
  "matrix",
  "form",
  "spaceDelimited",
  "pipeDelimited",
  "deepObject",
] as const;
export type ParameterStyle = (typeof PARAMETER_STYLES)[number];

/** One argument of the tool that goes into the request's path, query or headers. */
export interface OperationParameter {
  /** The tool's name for it, which differs from `name` where two parameters or the body would share it. */
  readonly argument: string;
  readonly in: "path" | "query" | "header" | "cookie";
  /** The API's name for it. */
  readonly name: string;
  /** Without it: `simple` in path and header, `form` in query and cookie. */
  readonly style?: ParameterStyle;
  /** Without it: true for `form`, else false. */
  readonly explode?: boolean;
  /** application/json: the value is sent as JSON text, whatever the style. */
  readonly contentType?: string;
}

/**
 * What makes the request's body. With `argument` it is that argument's value; without, it is an object of all the
 * arguments that no parameter takes. `contentType` is of JSON (application/json, …+json) or
 * application/x-www-form-urlencoded.
 */
export interface OperationBody {
  readonly argument?: string;
  readonly contentType: string;
  readonly required: boolean;
}

/**
 * How an API seems to cut its lists into pages, by the names in its document. `parameter` is the API's name of the query
 * parameter, `size` that of the one that says how many a page has; `next` points to the answer's member that holds
 * the next cursor (RFC 6901: "/meta/next_cursor"). `link` is RFC 8288's header with rel="next". A guess: what a connector's entry says goes before it.
 */
export type PaginationGuess =
  | { readonly style: "cursor"; readonly parameter: string; readonly next?: string; readonly size?: string }
  | { readonly style: "page" | "offset"; readonly parameter: string; readonly size?: string }
  | { readonly style: "link" };

/** One operation of an HTTP API, as a tool. */
export interface ConnectorOperation {
  /** [A-Za-z0-9_.-]{1,128}, unique among a connector's operations. */
  readonly name: string;
  readonly title?: string;
  readonly description: string;
  readonly method: Method;
  /** With the path parameters in braces: /pets/{petId}. */
  readonly path: string;
  readonly parameters: readonly OperationParameter[];
  readonly body?: OperationBody;
  /** JSON Schema 2020-12 of an object, without references and closed (`additionalProperties: false`). */
  readonly inputSchema: Readonly<Record<string, unknown>>;
  /** Of the first 2xx answer, where that is a JSON object. */
  readonly outputSchema?: Readonly<Record<string, unknown>>;
  readonly annotations: {
    readonly readOnlyHint?: boolean;
    readonly idempotentHint?: boolean;
    readonly destructiveHint?: boolean;
  };
  readonly risk?: Risk;
  /** The base url, where it is not the document's. */
  readonly server?: string;
  /** The names of the security schemes that a request needs, where it needs any. */
  readonly security?: readonly string[];
  readonly pagination?: PaginationGuess;
  /** The document's own grouping. */
  readonly tags?: readonly string[];
}
