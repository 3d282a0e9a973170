import type { toolsV1 } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";
import { z } from "zod";
import type { Item } from "../domain/catalogue.ts";
import { pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const NAME_MAX_CHARS = 128;
const COMMENT_MAX_CHARS = 2_000;
const CERTIFICATIONS = ["draft", "submitted", "approved", "retired"] as const;

const id = z.string().min(1).max(NAME_MAX_CHARS);
export const serverParam = z.object({ id });
export const toolParams = z.object({
  id,
  tid: z.string().min(1).max(NAME_MAX_CHARS).meta({ description: "The tool's name as its server has it, escaped" }),
});

const finding = z
  .object({
    kind: z.string().meta({ examples: ["hidden_instructions"] }),
    where: z.string().meta({ examples: ["description"] }),
    why: z.string(),
    risk: z.string().meta({ description: "That a tool with it has at least" }),
  })
  .meta({ description: "Something in a definition that could mislead a model or a person" });

const definition = z.record(z.string(), z.unknown()).meta({ description: "As the server has it" });
const certification = z.enum(CERTIFICATIONS);

const tool = z.object({
  name: z.string().meta({ description: "As its server has it" }),
  title: z.string(),
  description: z.string(),
  version: z.number().int().nonnegative().meta({ description: "Of the definition that is shown" }),
  hash: z.string().meta({ description: "SHA-256 of the definition's canonical JSON (RFC 8785)" }),
  certification,
  hold: z
    .enum(["", "held", "withheld"])
    .meta({ description: "held: an older definition is served; withheld: the tool is offered to nobody" }),
  holdReason: z.string(),
  risk: z.string().meta({ description: "Of its calls: what is declared, or what its findings ask for" }),
  riskReason: z.string().meta({ description: "Why that is more than what is declared" }),
  findings: z.array(finding),
  retrySafe: z.boolean(),
  definition,
});
export const shownTool = tool;
export const tools = z.object({ items: z.array(tool), nextCursor: z.string().nullable() });
export const toolQuery = z.object({
  hold: z.enum(["held", "withheld"]).optional(),
  certification: certification.optional(),
  risk: z.enum(["LOW", "MEDIUM", "HIGH", "CRITICAL"]).optional(),
  ...pageQuery(["name", "title", "version", "certification", "hold", "risk"], "name"),
});

const version = z.object({
  version: z.number().int().positive(),
  hash: z.string(),
  certification,
  served: z.boolean().meta({ description: "It is what clients get" }),
  held: z.boolean().meta({ description: "It is what the server says now, and waits until somebody approves" }),
  findings: z.array(finding),
  risk: z
    .string()
    .meta({ description: "That the findings ask for; empty where an approval has taken them as they are" }),
  difference: z
    .string()
    .meta({ description: "To the version that was served before: a line for each place, what it may do first" }),
  firstSeen: z.string().nullable(),
  submittedBy: z.string(),
  decidedBy: z.string(),
  decidedAt: z.string().nullable(),
  comment: z.string(),
  definition,
});
export const shownVersion = version;
export const versions = z.object({ items: z.array(version), nextCursor: z.string().nullable() });
export const versionQuery = z.object(pageQuery(["version", "certification", "firstSeen"], "-version"));

export const decision = z
  .strictObject({
    decision: z.enum(["submit", "approve", "reject", "retire"]),
    version: z
      .number()
      .int()
      .positive()
      .max(0x7fff_ffff)
      .optional()
      .meta({ description: "Without it the one that the server says now. An approval has to say it" }),
    comment: z.string().max(COMMENT_MAX_CHARS).default(""),
  })
  .meta({ examples: [{ decision: "approve", version: 2, comment: "The new argument is fine" }] });

export const registration = z.looseObject({ name: z.string().min(1).max(NAME_MAX_CHARS) }).meta({
  description:
    "Of a connector: an operation, as `operations` in tollgate.yaml has it. Of other servers the name of a tool that was removed.",
  examples: [{ name: "read_file" }],
});
export const registered = z.object({
  name: z.string(),
  version: z.number().int().nonnegative().meta({ description: "0 until a runner has told of it" }),
  certification: z.string(),
  hold: z.string(),
  reason: z.string(),
});

export function toTool(item: Item): z.infer<typeof tool> {
  const { name, retrySafe, risk, riskReason } = item;
  const known = item.tool!;
  const parsed = parseJson(item.definition) as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return {
    name,
    title: text(parsed["title"]),
    description: text(parsed["description"]),
    version: known.version,
    hash: known.hash,
    certification: known.certification as z.infer<typeof certification>,
    hold: known.hold as z.infer<typeof tool>["hold"],
    holdReason: known.holdReason,
    risk,
    riskReason,
    findings: known.findings,
    retrySafe,
    definition: parsed,
  };
}

export function toVersion(given: toolsV1.ToolVersion): z.infer<typeof version> {
  const { serverId: _server, tool: _tool, firstSeenMs, decidedAtMs, ...rest } = given;
  return {
    ...rest,
    certification: rest.certification as z.infer<typeof certification>,
    firstSeen: isoOrNull(firstSeenMs),
    decidedAt: isoOrNull(decidedAtMs),
    definition: parseJson(rest.definition) as Record<string, unknown>,
  };
}
