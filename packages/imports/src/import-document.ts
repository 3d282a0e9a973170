import { AppError } from "@tollgate/errors";
import { clientServers, importClientFile, inputsOf } from "./client-files.ts";
import { type Imported, IMPORT_FORMATS, type ImportFormat } from "./entries.ts";
import { type Fields, isFields } from "./fields.ts";
import { createIds, groupIdOf } from "./ids.ts";
import { importOpenApi, isOpenApi } from "./openapi-file.ts";
import { readDocument } from "./read-document.ts";
import { importRegistry, registryServers } from "./registry-file.ts";
import { createFindings } from "./secrets.ts";

export interface ImportOptions {
  /** Without it, the document shows what it is. */
  readonly format?: ImportFormat;
  /** The id of the group that the entries get; "imported" without it. */
  readonly group?: string;
  /** The id of a connector; without it, it is made of the API's title. */
  readonly name?: string;
}

/**
 * What others have, as entries of tollgate.yaml: server.json of the MCP registry or a list of it, the files of Claude
 * Desktop, Cursor and VS Code, an OpenAPI document. Reads nothing but the text. Each entry loads, once its secrets are set.
 * @throws {AppError} invalid_argument, payload_too_large
 */
export function importDocument(text: string, options: ImportOptions = {}): Imported {
  const document = readDocument(text, "the document");
  const format = options.format ?? formatOf(document);
  const group = groupIdOf(options.group);
  const findings = createFindings(inputsOf(document));
  const idOf = createIds();
  const found = (): Pick<Imported, "servers" | "connectors"> => {
    const given = { group, idOf, findings };
    switch (format) {
      case "openapi": {
        if (!isOpenApi(document)) throw unlike(format);
        const entry = importOpenApi(document, { name: options.name, idOf, findings });
        return { servers: [], connectors: [{ group, entry }] };
      }
      case "registry":
        return { servers: importRegistry(registryServers(document) ?? refuse(format), given), connectors: [] };
      default:
        return { servers: importClientFile(clientServers(document) ?? refuse(format), given), connectors: [] };
    }
  };
  const { servers, connectors } = found();
  const { secrets, values, warnings } = findings;
  return { format, groups: [{ id: group }], servers, connectors, secrets, values, warnings };
}

function refuse(format: ImportFormat): never {
  throw unlike(format);
}

function unlike(format: ImportFormat): AppError {
  return new AppError("invalid_argument", `the document does not look like one of the format ${format}`);
}

function formatOf(document: unknown): ImportFormat {
  if (isOpenApi(document)) return "openapi";
  const servers = clientServers(document);
  if (servers !== undefined) return clientOf(document as Fields, servers);
  if (registryServers(document) !== undefined) return "registry";
  throw new AppError(
    "invalid_argument",
    `the document is none of ${IMPORT_FORMATS.join(", ")}: it has neither "mcpServers", "servers", "packages", "remotes" nor "openapi"`,
  );
}

/** Claude Desktop's file and Cursor's are alike, but that the former has no urls. */
function clientOf(document: Fields, servers: Fields): ImportFormat {
  if (!isFields(document["mcpServers"])) return "vscode";
  return Object.values(servers).some((each) => isFields(each) && typeof each["url"] === "string")
    ? "cursor"
    : "claude-desktop";
}
