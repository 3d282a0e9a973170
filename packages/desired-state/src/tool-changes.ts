import { z } from "zod";
import { boolean } from "./scalars.ts";

// What becomes of tools whose servers give them another definition, and which definitions are served at all.

const TOOL_CHANGES = ["serve_old", "withhold", "accept"] as const;
const CERTIFICATIONS = ["optional", "required"] as const;

export const toolChangesSchema = z.enum(TOOL_CHANGES);
export const certificationSchema = z.enum(CERTIFICATIONS);

/** For all servers that say nothing else. */
export const toolsSchema = z.strictObject({
  changes: toolChangesSchema.optional(),
  certification: certificationSchema.default("optional"),
  four_eyes: boolean.default(false),
});

export const TOOLS_KEYS: Readonly<Record<string, readonly string[]>> = { tools: Object.keys(toolsSchema.shape) };

export interface DesiredToolPolicy {
  /**
   * Until somebody approves of a changed definition: the old one is served (`serve_old`), or the tool to nobody
   * (`withhold`). `accept`: nobody has to.
   */
  readonly changes: (typeof TOOL_CHANGES)[number];
  /** `required`: nothing is served that nobody has approved. */
  readonly certification: (typeof CERTIFICATIONS)[number];
  /** Who has submitted a definition may not approve of it. */
  readonly fourEyes: boolean;
}

export function toToolPolicy(
  server: {
    readonly type: string;
    readonly tool_changes?: DesiredToolPolicy["changes"] | undefined;
    readonly certification?: DesiredToolPolicy["certification"] | undefined;
  },
  tools: z.infer<typeof toolsSchema>,
): DesiredToolPolicy {
  // A connector's tools are the installation's own word: whoever may change it has changed them.
  const usual = server.type === "connector" ? "accept" : (tools.changes ?? "serve_old");
  return {
    changes: server.tool_changes ?? usual,
    certification: server.certification ?? tools.certification,
    fourEyes: tools.four_eyes,
  };
}
