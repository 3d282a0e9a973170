import { z } from "zod";
import type { Mistake, Path } from "./document.ts";
import { boolean } from "./scalars.ts";

// What becomes of tools whose servers give them another definition, and which definitions are served at all.

/** Each is stricter than the one before. */
const TOOL_CHANGES = ["accept", "serve_old", "withhold"] as const;
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

interface Server {
  readonly type: string;
  readonly tool_changes?: DesiredToolPolicy["changes"] | undefined;
  readonly certification?: DesiredToolPolicy["certification"] | undefined;
}

type Tools = z.infer<typeof toolsSchema>;

/** A connector's tools are the installation's own word: whoever may change it has changed them. */
function usualChanges({ type }: Server, tools: Tools): DesiredToolPolicy["changes"] {
  return type === "connector" ? "accept" : (tools.changes ?? "serve_old");
}

/** Whoever may declare servers through the API may be stricter with one than the file is with all, and not less strict. */
export function findLooserPolicy(server: Server, tools: Tools, path: Path): Mistake[] {
  const { tool_changes: changes, certification } = server;
  const allowed = {
    tool_changes: from(TOOL_CHANGES, usualChanges(server, tools)),
    certification: from(CERTIFICATIONS, tools.certification),
  };
  const given = Object.entries({ tool_changes: changes, certification }) as [
    keyof typeof allowed,
    string | undefined,
  ][];
  return given
    .filter(([key, value]) => value !== undefined && !allowed[key].includes(value))
    .map(([key]) => {
      const message = `has to be ${allowed[key].join(" or ")}: the file alone may be less strict`;
      return { path: [...path, key], message };
    });
}

function from(order: readonly string[], least: string): readonly string[] {
  return order.slice(order.indexOf(least));
}

export function toToolPolicy(server: Server, tools: Tools): DesiredToolPolicy {
  return {
    changes: server.tool_changes ?? usualChanges(server, tools),
    certification: server.certification ?? tools.certification,
    fourEyes: tools.four_eyes,
  };
}
