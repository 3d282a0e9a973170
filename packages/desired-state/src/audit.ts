import { z } from "zod";
import { type DesiredExport, EXPORT_KEYS, exportSchema, toExport } from "./exports.ts";
import { type DesiredRetention, RETENTION_KEYS, retentionSchema, toRetention } from "./retention.ts";

/** Each has a consumer of its own on the stream. */
const EXPORTS_MAX = 32;

/** What becomes of the record. */
export interface DesiredAudit {
  readonly exports: readonly DesiredExport[];
  readonly retention: readonly DesiredRetention[];
}

export const auditSchema = z.strictObject({
  exports: z.array(exportSchema).max(EXPORTS_MAX).default([]),
  retention: retentionSchema,
});

export const AUDIT_KEYS: Readonly<Record<string, readonly string[]>> = {
  audit: Object.keys(auditSchema.shape),
  ...EXPORT_KEYS,
  ...RETENTION_KEYS,
};

export function toAudit(parsed: z.infer<typeof auditSchema>, file: string): DesiredAudit {
  return {
    exports: parsed.exports.map((each) => toExport(each, file)),
    retention: toRetention(parsed.retention),
  };
}
