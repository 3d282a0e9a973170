import { baseUrlOf, type ConnectorEntry, operationsOf, readOpenApi, securityOf } from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import { type Fields, fieldsAt, isFields, textAt } from "./fields.ts";
import { escaped, type Findings } from "./secrets.ts";

const NAME_MAX_CHARS = 200;

export function isOpenApi(document: unknown): document is Fields {
  return isFields(document) && ("openapi" in document || "swagger" in document);
}

/** @throws {AppError} invalid_argument */
export function importOpenApi(
  document: Fields,
  options: { name: string | undefined; idOf: (name: string) => string; findings: Findings },
): ConnectorEntry {
  const { name, idOf, findings } = options;
  const openapi = readOpenApi(document);
  const { operations, warnings } = operationsOf(openapi);
  if (operations.length === 0)
    throw new AppError("invalid_argument", "the document has no operation that could be a tool");
  const title = textAt(fieldsAt(document, "info"), "title") ?? "";
  const id = idOf(name ?? title);
  const security = securityOf(openapi, operations, { prefix: id });
  for (const warning of [...warnings, ...security.warnings]) findings.warn(`${id}: ${warning}`);
  for (const each of security.secrets)
    findings.secret(id, { what: each.name.slice(id.length + 1), from: `the security scheme ${each.from}` });
  const baseUrl = baseUrlOf(openapi);
  // A top-level domain that nobody can have (RFC 2606): nothing is sent anywhere until somebody has put it right.
  if (baseUrl === undefined) findings.warn(`${id}: its document does not say where the API is: set base_url`);
  const shown = escaped(title.trim().slice(0, NAME_MAX_CHARS).toWellFormed()).slice(0, NAME_MAX_CHARS);
  return {
    id,
    ...(shown === "" || shown === id ? {} : { name: shown }),
    base_url: baseUrl === undefined ? `https://${id}.invalid` : escaped(baseUrl),
    openapi: document,
    ...(security.auth === undefined ? {} : { auth: security.auth }),
    ...(operations.some(({ pagination }) => pagination !== undefined)
      ? { pagination: { style: "auto" as const } }
      : {}),
  };
}
