import { stringify } from "yaml";
import type { Imported } from "./entries.ts";

/**
 * What to paste into tollgate.yaml, with what has to be done as comments.
 * @param options.openapiFile the name of the file with the OpenAPI document, beside tollgate.yaml: instead of its content
 */
export function toYaml(imported: Imported, options: { openapiFile?: string } = {}): string {
  const { groups, servers, connectors, secrets, warnings } = imported;
  const withConnectors = groups.map((group) => {
    const own = connectors.filter((each) => each.group === group.id).map(({ entry }) => entry);
    const shown = own.map((entry) =>
      options.openapiFile === undefined ? entry : { ...entry, openapi: options.openapiFile },
    );
    return { ...group, ...(shown.length === 0 ? {} : { connectors: shown }) };
  });
  const remarks = [
    ...(secrets.length === 0 ? [] : ["Set these secrets first:"]),
    ...secrets.map(({ name, from }) => `  ${name} (${from})`),
    ...(warnings.length === 0 ? [] : ["Look at these:"]),
    ...warnings.map((warning) => `  ${warning}`),
  ];
  const entries = { groups: withConnectors, ...(servers.length === 0 ? {} : { mcp_servers: servers }) };
  return `${remarks.map(toComment).join("")}${stringify(entries, { lineWidth: 0 })}`;
}

/** A remark has words of the document: a line break in it would begin an entry. */
function toComment(text: string): string {
  return `# ${text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ")}\n`;
}
