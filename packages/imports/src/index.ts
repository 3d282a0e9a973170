export {
  IMPORT_FORMATS,
  type Imported,
  type ImportedGroup,
  type ImportedSecret,
  type ImportedServer,
  type ImportFormat,
} from "./entries.ts";
export { importDocument, type ImportOptions } from "./import-document.ts";
export { toYaml } from "./to-yaml.ts";
