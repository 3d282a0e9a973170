import type { ConnectorOperation } from "./operation.ts";

/** What each request says of who asks. Holds secrets. */
export type ConnectorAuth =
  | { readonly type: "none" }
  | { readonly type: "bearer"; readonly token: string }
  | { readonly type: "basic"; readonly user: string; readonly password: string }
  | {
      readonly type: "api_key";
      readonly in: "header" | "query" | "cookie";
      readonly name: string;
      readonly value: string;
    }
  | OauthClientCredentials;

/** RFC 6749, section 4.4. */
export interface OauthClientCredentials {
  readonly type: "oauth_client_credentials";
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scopes: readonly string[];
  /** "" for none. */
  readonly audience: string;
  /** How the token's url learns who asks: in HTTP's Basic form, or in the request's body. */
  readonly clientAuth: "basic" | "body";
}

/** So many requests per time in one runner, and so many that wait for their turn. */
export interface RateLimit {
  readonly requests: number;
  readonly perMs: number;
  /** So many at once after a pause. */
  readonly burst: number;
  readonly waitingMax: number;
}

export interface Retry {
  /** Requests in all; 1: none is sent again. */
  readonly attempts: number;
  /** Before the second; doubled before each further one. */
  readonly backoffMs: number;
  readonly statuses: readonly number[];
}

/**
 * How a list's pages are joined, of operations that have the parameter. `items` is the JSON pointer of the list in the
 * answer; "" where that is the answer, or its only list. `auto` goes by each operation's own guess.
 */
export type Pagination =
  | { readonly style: "none" }
  | (Pages & { readonly style: "auto" })
  /** The next page's url is in the header Link (RFC 8288), or at the pointer `cursor`, unless that is "". */
  | (Pages & { readonly style: "link"; readonly cursor: string })
  /** What the pointer `cursor` shows in an answer is the next request's `parameter`. */
  | (Pages & SizedPages & { readonly style: "cursor"; readonly cursor: string; readonly parameter: string })
  | (Pages & SizedPages & { readonly style: "page" | "offset"; readonly parameter: string });

interface Pages {
  readonly items: string;
  readonly pagesMax: number;
}
interface SizedPages {
  /** The query parameter that says how many a page has; "" for none. */
  readonly sizeParameter: string;
  /** 0: the API's own. */
  readonly size: number;
}

/** An API of others as a server of tools: all that a runner has to know. Holds secrets. */
export interface Connector {
  /** http or https, without query and without a slash at its end. No request leaves its origin. */
  readonly baseUrl: string;
  readonly operations: readonly ConnectorOperation[];
  readonly auth: ConnectorAuth;
  readonly headers: Readonly<Record<string, string>>;
  /** Of one request. */
  readonly timeoutMs: number;
  /** Absent: none. */
  readonly rateLimit?: RateLimit;
  readonly retry: Retry;
  readonly pagination: Pagination;
  readonly result: {
    /** The JSON pointer of what a tool's result is of the answer; "" for all of it. */
    readonly pick: string;
    /** Tools promise what the API's document says of its answers. */
    readonly schema: boolean;
  };
  /** Certificates in PEM form that may sign the API's own; "" for those that Node trusts. */
  readonly ca: string;
}
