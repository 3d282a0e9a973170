import type { Connector, ConnectorOperation, Pagination } from "@tollgate/connectors";
import { type Risk, RISKS } from "@tollgate/contracts";
import { documentMark, type OperationsAt, toOperations } from "./connector-operations.ts";
import type { ConnectorForm } from "./connector-schema.ts";
import type { Mistake, Path } from "./document.ts";
import { documentsRefused, type ReadDocument } from "./documents.ts";
import type { EntryKey } from "./entries.ts";
import { hideSecretsOf } from "./hidden.ts";
import { type Filled, secretsNamed } from "./placeholders.ts";
import { isExposed } from "./remote.ts";
import type { ParsedFile } from "./schema.ts";
import { secretsIn } from "./server-secrets.ts";
import {
  type DesiredToolRule,
  limitsSchema,
  poolSchema,
  sandboxSchema,
  toLimits,
  toPool,
  toSandbox,
  toToolRules,
} from "./server-run.ts";
import type { DesiredServer } from "./state.ts";
import { findLooserPolicy, toToolPolicy } from "./tool-changes.ts";

const STARTUP_TIMEOUT_MS = 60_000;
/** All servers of a runner travel to it in one message. */
const OPERATIONS_MAX_CHARS = 8 * 1024 * 1024;

interface Options {
  readonly file: string;
  readonly tools: ParsedFile["tools"];
  /** `groups` as the file has it. */
  readonly written: readonly Record<string, unknown>[];
  readonly filled: readonly Filled[];
  readonly readDocument: ReadDocument;
  /** Entries that have no files. */
  readonly isOfApi: (entry: EntryKey) => boolean;
  readonly mistakes: Mistake[];
  readonly warnings: Mistake[];
}

/**
 * The connectors of groups whose values each have the right form, as servers. What is wrong or unwise all the same, also
 * in a document that one names, is added to `mistakes` and `warnings`.
 */
export function toConnectors(groups: ParsedFile["groups"], options: Options): DesiredServer[] {
  return groups.flatMap(({ id, connectors }, groupIndex) => {
    const shown = hideSecretsOf("group", options.written[groupIndex]!).shown["connectors"];
    const isOfApi = options.isOfApi({ kind: "group", id });
    const readDocument = isOfApi ? documentsRefused : options.readDocument;
    return connectors.map((entry, index) => {
      const path = ["groups", groupIndex, "connectors", index];
      if (isOfApi) options.mistakes.push(...findLooserPolicy({ ...entry, type: "connector" }, options.tools, path));
      const secrets = secretsIn(options.filled.filter((each) => startsWith(each.path, path)));
      const written = withoutDocument((shown as Record<string, unknown>[])[index]!);
      return toServer(entry, { ...options, readDocument, path, group: id, written, secrets });
    });
  });
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((step, at) => path[at] === step);
}

function toServer(
  entry: ConnectorForm,
  at: Omit<Options, "written"> &
    OperationsAt & { group: string; written: Record<string, unknown>; secrets: ReturnType<typeof secretsIn> },
): DesiredServer {
  const operations = toOperations(entry, at);
  const connector = toConnector(entry, neededBy(entry, operations, at), at);
  warnOf(entry, connector, at);
  const { written } = at;
  return {
    id: entry.id,
    name: entry.name ?? entry.id,
    group: at.group,
    type: "connector",
    command: "",
    args: [],
    env: {},
    url: "",
    transport: "",
    headers: {},
    startupTimeoutMs: STARTUP_TIMEOUT_MS,
    requirements: "",
    healthCheckIntervalMs: 0,
    pool: toPool(poolSchema.parse({}), { remote: true }),
    limits: toLimits(limitsSchema.parse(entry.limits)),
    sandbox: toSandbox(sandboxSchema.parse({}), at.file),
    toolRules: withRisks(toToolRules(entry.tools), operations, entry.risk),
    toolPolicy: toToolPolicy({ ...entry, type: "connector" }, at.tools),
    clientCapabilities: [],
    sessionContext: false,
    environment: entry.environment ?? "",
    risk: entry.risk,
    enabled: entry.enabled,
    ...at.secrets,
    secretNames: secretsNamed(JSON.stringify(written)).toSorted(),
    written,
    connector,
  };
}

function toConnector(entry: ConnectorForm, operations: readonly ConnectorOperation[], at: OperationsAt): Connector {
  const { rate_limit: rate, retry, pagination, result } = entry;
  return {
    baseUrl: entry.base_url.replace(/\/+$/, ""),
    operations,
    auth: toAuth(entry.auth),
    headers: entry.headers,
    timeoutMs: Math.max(1, Math.round(entry.timeout * 1_000)),
    ...(rate === undefined
      ? {}
      : {
          rateLimit: {
            requests: rate.requests,
            perMs: Math.max(1, Math.round(rate.per_seconds * 1_000)),
            burst: rate.burst ?? rate.requests,
            waitingMax: rate.max_waiting,
          },
        }),
    retry: { attempts: retry.attempts, backoffMs: retry.backoff_ms, statuses: retry.statuses },
    pagination: toPagination(pagination),
    result: { pick: result.pick ?? "", schema: result.schema },
    ca: entry.ca_file === undefined ? "" : readCertificates(entry.ca_file, at),
  };
}

/** Without what runners have no use for: a document may say much of answers. */
function neededBy(
  { result, pagination }: ConnectorForm,
  operations: readonly ConnectorOperation[],
  { path, mistakes }: OperationsAt,
): ConnectorOperation[] {
  const needed = operations.map(
    ({ outputSchema, pagination: guess, tags: _tags, risk: _risk, security: _security, ...rest }) => ({
      ...rest,
      ...(result.schema && outputSchema !== undefined ? { outputSchema } : {}),
      ...(pagination.style === "auto" && guess !== undefined ? { pagination: guess } : {}),
    }),
  );
  if (JSON.stringify(needed).length > OPERATIONS_MAX_CHARS) {
    const message = `has operations of more than ${OPERATIONS_MAX_CHARS} characters; choose some with include`;
    mistakes.push({ path, message });
  }
  return needed;
}

function toAuth(auth: ConnectorForm["auth"]): Connector["auth"] {
  if (auth.type !== "oauth_client_credentials") return auth;
  return {
    type: auth.type,
    tokenUrl: auth.token_url,
    clientId: auth.client_id,
    clientSecret: auth.client_secret,
    scopes: auth.scopes,
    audience: auth.audience ?? "",
    clientAuth: auth.client_auth,
  };
}

function toPagination(given: ConnectorForm["pagination"]): Pagination {
  const { style, items = "", cursor = "", parameter = "", size_parameter: sizeParameter = "", size = 0 } = given;
  const pages = { items, pagesMax: given.max_pages };
  switch (style) {
    case "none":
      return { style };
    case "auto":
      return { style, ...pages };
    case "link":
      return { style, ...pages, cursor };
    case "cursor":
      return { style, ...pages, cursor, parameter, sizeParameter, size };
    case "page":
    case "offset":
      return { style, ...pages, parameter, sizeParameter, size };
  }
}

function readCertificates(name: string, { path, readDocument, mistakes }: OperationsAt): string {
  const text = readDocument(name);
  const problem = text.ok
    ? text.value.includes("-----BEGIN CERTIFICATE-----")
      ? undefined
      : "names a file that holds no certificate in PEM form"
    : `names a file ${text.reason}`;
  if (problem !== undefined) mistakes.push({ path: [...path, "ca_file"], message: problem });
  return text.ok ? text.value : "";
}

/** What a tool is by its operation counts where the entry does not say it of the tool, and never lowers what it says of all. */
function withRisks(
  rules: readonly DesiredToolRule[],
  operations: readonly ConnectorOperation[],
  ofAll: Risk,
): DesiredToolRule[] {
  const byTool = new Map(rules.map((rule) => [rule.tool, rule]));
  const none = { concurrency: 0, callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0 };
  for (const { name: tool, risk = "LOW" } of operations) {
    const rule = byTool.get(tool);
    const isMore = RISKS.indexOf(risk) > RISKS.indexOf(ofAll);
    if (isMore && (rule?.risk ?? "") === "") byTool.set(tool, { tool, ...none, ...rule, risk });
  }
  return [...byTool.values()];
}

function warnOf(entry: ConnectorForm, connector: Connector, { path, warnings }: OperationsAt): void {
  const { auth, headers, baseUrl, operations } = connector;
  const isSecret = auth.type !== "none" || Object.keys(headers).length > 0;
  const unencrypted = "is not encrypted: whoever is on the way can read the credentials; use https://";
  if (isSecret && isExposed(baseUrl)) warnings.push({ path: [...path, "base_url"], message: unencrypted });
  if (auth.type === "oauth_client_credentials" && isExposed(auth.tokenUrl))
    warnings.push({ path: [...path, "auth", "token_url"], message: unencrypted });
  const known = new Set(operations.map(({ name }) => name));
  for (const tool of Object.keys(entry.tools))
    if (!known.has(tool))
      warnings.push({ path: [...path, "tools", tool], message: "is not one of the connector's tools" });
  const { parameter } = entry.pagination;
  const isPaged = operations.some((each) =>
    each.parameters.some(({ name, in: place }) => place === "query" && name === parameter),
  );
  if (parameter !== undefined && !isPaged)
    warnings.push({ path: [...path, "pagination", "parameter"], message: "is a query parameter of no operation" });
}

/** What is stored of a document that stands in an entry is a mark that changes with it. */
function withoutDocument(written: Record<string, unknown>): Record<string, unknown> {
  const { openapi } = written;
  return typeof openapi === "object" ? { ...written, openapi: documentMark(openapi) } : written;
}
