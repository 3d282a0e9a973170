export {
  IMPORT_FORMATS,
  type Imported,
  type ImportedGroup,
  type ImportedSecret,
  type ImportedServer,
  type ImportFormat,
} from "./entries.ts";
export { DOCUMENT_MAX_BYTES } from "@tollgate/connectors";
export { importDocument, type ImportOptions } from "./import-document.ts";
export { toYaml } from "./to-yaml.ts";
