import { z } from "zod";
import { type EntryKind, SECTION_OF } from "./entries.ts";
import { fileSchema } from "./schema.ts";

/** What an entry of the kind may be, as JSON Schema: for people and generated clients. What holds is what loads. */
export function describeEntry(kind: EntryKind): Record<string, unknown> {
  const { items } = z.toJSONSchema(fileSchema.shape[SECTION_OF[kind]], {
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      // Of a number or a boolean that may be written as a text, what it means.
      if (!(zodSchema instanceof z.ZodPipe) || !(zodSchema.in instanceof z.ZodTransform)) return;
      const { $schema: _, ...meant } = z.toJSONSchema(zodSchema.out, { io: "input", unrepresentable: "any" });
      Object.assign(jsonSchema, meant);
    },
  });
  return items as Record<string, unknown>;
}
