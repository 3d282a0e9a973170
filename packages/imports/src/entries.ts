import type { ConnectorEntry } from "@tollgate/connectors";

export const IMPORT_FORMATS = ["registry", "claude-desktop", "cursor", "vscode", "openapi"] as const;
export type ImportFormat = (typeof IMPORT_FORMATS)[number];

/** As `groups` of tollgate.yaml has it; its connectors are beside it. */
export interface ImportedGroup {
  readonly id: string;
}

/** As `mcp_servers` of tollgate.yaml has it. */
export interface ImportedServer {
  readonly id: string;
  readonly name?: string;
  readonly group: string;
  readonly type: "npx" | "node" | "python" | "uv" | "command" | "container" | "remote";
  readonly command?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly working_dir?: string;
  readonly url?: string;
  readonly transport?: "streamable-http" | "sse";
  readonly headers?: Readonly<Record<string, string>>;
  readonly enabled?: false;
}

/** A secret that an entry names, and has to be set before the entry works. */
export interface ImportedSecret {
  readonly name: string;
  /** The id of the server or connector that names it. */
  readonly server: string;
  /** Where it was, or what it is for, in the document's own words. Never its value. */
  readonly from: string;
}

/** What a document says, as entries of tollgate.yaml. */
export interface Imported {
  readonly format: ImportFormat;
  readonly groups: readonly ImportedGroup[];
  readonly servers: readonly ImportedServer[];
  readonly connectors: readonly { readonly group: string; readonly entry: ConnectorEntry }[];
  readonly secrets: readonly ImportedSecret[];
  /** What the document had in plain text, by the secret's name. For whoever sets the secrets: not to be shown. */
  readonly values: ReadonlyMap<string, string>;
  /** What was left out or has to be looked at. Without values. */
  readonly warnings: readonly string[];
}
