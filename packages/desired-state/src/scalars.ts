import { z } from "zod";

/** `port: ${PORT}` is text until the variable is put in, and means a number all the same. */
export const number = (schema: z.ZodNumber) =>
  z.preprocess((value) => (typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value), schema);
export const boolean = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean(),
);
