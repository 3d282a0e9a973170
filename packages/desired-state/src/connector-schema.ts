import { METHODS, PARAMETER_STYLES } from "@tollgate/connectors";
import { RISKS } from "@tollgate/contracts";
import { z } from "zod";
import { name, serverName, title } from "./names.ts";
import { STAND_IN } from "./placeholders.ts";
import { connectorHeadersSchema, HEADER_NAME, HEADER_VALUE, httpUrlSchema } from "./remote.ts";
import { boolean, number } from "./scalars.ts";
import { limitsSchema, toolRuleSchema } from "./server-run.ts";
import { certificationSchema, toolChangesSchema } from "./tool-changes.ts";

// The form of groups[].connectors[]. Messages never repeat a value: it may be a secret.

const TEXT_MAX_CHARS = 32_768;
const WORD_MAX_CHARS = 256;
const OPERATIONS_MAX = 2_000;
const PARAMETERS_MAX = 100;
const FILTERS_MAX = 256;
const DAY_SECONDS = 86_400;

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
const word = z.string().min(1, "is empty").max(WORD_MAX_CHARS);
const seconds = number(z.number().positive().max(DAY_SECONDS));
const whole = (min: number, max: number) => number(z.number().int().min(min).max(max));
const headerName = z.string().regex(HEADER_NAME, "is not a name for a header");
const headerValue = text.regex(HEADER_VALUE, "holds a line break or what else a header cannot carry");
/** RFC 6901; "" is the whole. */
const pointer = z
  .string()
  .max(WORD_MAX_CHARS)
  .regex(/^(?:\/(?:[^~/]|~[01])*)*$/, 'has to be a JSON pointer such as "/data/items"');
const jsonSchema = z.record(z.string(), z.unknown());

const AUTH_TYPES = ["none", "bearer", "basic", "api_key", "oauth_client_credentials"] as const;
const auths = [
  z.strictObject({ type: z.literal("none") }),
  z.strictObject({ type: z.literal("bearer"), token: headerValue }),
  z.strictObject({
    type: z.literal("basic"),
    user: text.refine((user) => !user.includes(":") || user.startsWith(STAND_IN), "must not hold a colon"),
    password: text,
  }),
  z.strictObject({
    type: z.literal("api_key"),
    in: z.enum(["header", "query", "cookie"]),
    name: headerName,
    value: headerValue,
  }),
  z.strictObject({
    type: z.literal("oauth_client_credentials"),
    token_url: httpUrlSchema,
    client_id: text,
    client_secret: text,
    scopes: z.array(word).max(PARAMETERS_MAX).default([]),
    audience: text.optional(),
    client_auth: z.enum(["basic", "body"]).default("basic"),
  }),
] as const;
const authSchema = z.discriminatedUnion("type", auths, {
  error: (issue) => (issue.code === "invalid_union" ? `has no type of ${AUTH_TYPES.join(", ")}` : undefined),
});

const rateLimitSchema = z.strictObject({
  requests: whole(1, 1_000_000),
  per_seconds: seconds.default(1),
  /** `requests` where it is not given. */
  burst: whole(1, 1_000_000).optional(),
  max_waiting: whole(0, 100_000).default(100),
});

const retrySchema = z.strictObject({
  attempts: whole(1, 5).default(3),
  backoff_ms: whole(1, 60_000).default(200),
  statuses: z.array(whole(400, 599)).max(PARAMETERS_MAX).default([429, 502, 503, 504]),
});

const PAGE_STYLES = ["none", "auto", "link", "cursor", "page", "offset"] as const;
type PageStyle = (typeof PAGE_STYLES)[number];
const PAGE_KEYS: Readonly<Record<PageStyle, { needed: readonly string[]; allowed: readonly string[] }>> = {
  none: { needed: [], allowed: [] },
  auto: { needed: [], allowed: ["items"] },
  link: { needed: [], allowed: ["items", "cursor"] },
  cursor: { needed: ["cursor", "parameter"], allowed: ["items", "size_parameter", "size"] },
  page: { needed: ["parameter"], allowed: ["items", "size_parameter", "size"] },
  offset: { needed: ["parameter"], allowed: ["items", "size_parameter", "size"] },
};
const paginationShape = z.strictObject({
  style: z.enum(PAGE_STYLES).default("none"),
  items: pointer.optional(),
  cursor: pointer.optional(),
  parameter: word.optional(),
  size_parameter: word.optional(),
  size: whole(1, 100_000).optional(),
  max_pages: whole(1, 100).default(10),
});
const paginationSchema = paginationShape.superRefine((pagination, context) => {
  const { style, max_pages: _, ...given } = pagination;
  const fail = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
  const { needed, allowed } = PAGE_KEYS[style];
  for (const key of needed) if (!(key in given)) fail(key, "is missing");
  for (const key of Object.keys(given))
    if (![...needed, ...allowed].includes(key)) fail(key, `does not go with the style ${style}`);
  if ("size" in given !== "size_parameter" in given)
    fail("size" in given ? "size" : "size_parameter", "needs the other of size and size_parameter");
});

const resultShape = z.strictObject({ pick: pointer.optional(), schema: boolean.default(false) });
const resultSchema = resultShape.superRefine(({ pick, schema }, context) => {
  if (pick !== undefined && schema)
    context.addIssue({
      code: "custom",
      path: ["pick"],
      message: "does not go with schema, which is of the whole answer",
    });
});

const parameterSchema = z.strictObject({
  name: word,
  in: z.enum(["path", "query", "header", "cookie"]),
  argument: word.optional(),
  style: z.enum(PARAMETER_STYLES).optional(),
  explode: boolean.optional(),
  content_type: word.optional(),
});
const bodySchema = z.strictObject({
  argument: word.optional(),
  content_type: word.default("application/json"),
  required: boolean.default(false),
});
const annotationsSchema = z.strictObject({
  read_only: boolean.optional(),
  idempotent: boolean.optional(),
  destructive: boolean.optional(),
});
const operationSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/, "has to be 1 to 128 of A-Z, a-z, 0-9, _, . and -"),
  title: title.optional(),
  description: z.string().max(TEXT_MAX_CHARS).default(""),
  method: z.enum(METHODS),
  path: text.regex(/^\/[^?#\s]*$/, "has to begin with / and to hold no query"),
  parameters: z.array(parameterSchema).max(PARAMETERS_MAX).default([]),
  body: bodySchema.optional(),
  /** Texts for all parameters, those of the path required, where it is not given. */
  input_schema: jsonSchema.optional(),
  output_schema: jsonSchema.optional(),
  annotations: annotationsSchema.optional(),
  risk: z.enum(RISKS).optional(),
});

const limitsShape = limitsSchema.pick({ output_mb: true, call_timeout: true, concurrency: true });

const shape = z.strictObject({
  id: serverName,
  name: title.optional(),
  base_url: httpUrlSchema,
  /** The name of a file, or the document itself. */
  openapi: z.union([text, z.record(z.string(), z.unknown())], "has to be a file's name or a document").optional(),
  operations: z.array(operationSchema).max(OPERATIONS_MAX).default([]),
  include: z.array(word).max(FILTERS_MAX).default([]),
  exclude: z.array(word).max(FILTERS_MAX).default([]),
  auth: authSchema.default({ type: "none" }),
  headers: connectorHeadersSchema.default({}),
  timeout: seconds.default(30),
  rate_limit: rateLimitSchema.optional(),
  retry: retrySchema.prefault({}),
  pagination: paginationSchema.prefault({}),
  result: resultSchema.prefault({}),
  ca_file: text.optional(),
  limits: limitsShape.prefault({}),
  tools: z.record(text.max(WORD_MAX_CHARS), toolRuleSchema).default({}),
  tool_changes: toolChangesSchema.optional(),
  certification: certificationSchema.optional(),
  environment: name.optional(),
  risk: z.enum(RISKS).default("LOW"),
  enabled: boolean.default(true),
});
export const connectorSchema = shape.superRefine(({ auth, headers }, context) => {
  const isTaken = Object.keys(headers).some((each) => each.toLowerCase() === headerOf(auth));
  if (isTaken) context.addIssue({ code: "custom", path: ["headers"], message: "has the header that auth sets" });
});
export type ConnectorForm = z.infer<typeof connectorSchema>;

function headerOf(auth: z.infer<typeof authSchema>): string | undefined {
  if (auth.type === "none") return undefined;
  if (auth.type !== "api_key") return "authorization";
  return auth.in === "header" ? auth.name.toLowerCase() : auth.in === "cookie" ? "cookie" : undefined;
}

/** As KNOWN_KEYS of schema.ts. */
export const CONNECTOR_KEYS: Readonly<Record<string, readonly string[]>> = {
  "groups.connectors": Object.keys(shape.shape),
  "groups.connectors.auth": [...new Set(auths.flatMap((each) => Object.keys(each.shape)))],
  "groups.connectors.rate_limit": Object.keys(rateLimitSchema.shape),
  "groups.connectors.retry": Object.keys(retrySchema.shape),
  "groups.connectors.pagination": Object.keys(paginationShape.shape),
  "groups.connectors.result": Object.keys(resultShape.shape),
  "groups.connectors.limits": Object.keys(limitsShape.shape),
  "groups.connectors.operations": Object.keys(operationSchema.shape),
  "groups.connectors.operations.parameters": Object.keys(parameterSchema.shape),
  "groups.connectors.operations.body": Object.keys(bodySchema.shape),
  "groups.connectors.operations.annotations": Object.keys(annotationsSchema.shape),
};
