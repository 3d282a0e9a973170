import type { Risk } from "@tollgate/contracts";

/** A connector as tollgate.yaml has it; `packages/desired-state` checks it and says what is left out. */
export interface ConnectorEntry {
  readonly id: string;
  readonly name?: string;
  readonly base_url: string;
  /** The name of a file beside tollgate.yaml, or the OpenAPI document itself. */
  readonly openapi?: string | Readonly<Record<string, unknown>>;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly auth?: AuthEntry;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeout?: number;
  readonly rate_limit?: {
    readonly requests: number;
    readonly per_seconds?: number;
    readonly burst?: number;
    readonly max_waiting?: number;
  };
  readonly pagination?: PaginationEntry;
  readonly risk?: Risk;
  readonly environment?: string;
  readonly enabled?: boolean;
}

export type AuthEntry =
  | { readonly type: "none" }
  | { readonly type: "bearer"; readonly token: string }
  | { readonly type: "basic"; readonly user: string; readonly password: string }
  | {
      readonly type: "api_key";
      readonly in: "header" | "query" | "cookie";
      readonly name: string;
      readonly value: string;
    }
  | {
      readonly type: "oauth_client_credentials";
      readonly token_url: string;
      readonly client_id: string;
      readonly client_secret: string;
      readonly scopes?: readonly string[];
      readonly audience?: string;
      readonly client_auth?: "basic" | "body";
    };

/** `items` and `cursor` are JSON pointers into the answer. */
export interface PaginationEntry {
  readonly style: "none" | "auto" | "link" | "cursor" | "page" | "offset";
  readonly items?: string;
  readonly cursor?: string;
  readonly parameter?: string;
  readonly size_parameter?: string;
  readonly size?: number;
  readonly max_pages?: number;
}
