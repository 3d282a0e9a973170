import { expect, test } from "vitest";
import { hideValues } from "./declared-values.ts";

test("what the server was given in its environment is not shown", () => {
  const hide = hideValues({
    KEY: "s3cret-value",
    LONGER: "s3cret-value-and-more",
    MODE: "prod",
    PEM: "begin\nline-of-key",
  });
  expect(hide("KEY=s3cret-value LONGER=s3cret-value-and-more MODE=prod")).toBe(
    "KEY=[secret] LONGER=[secret] MODE=prod",
  );
  expect(hide("s3cret-value s3cret-value line-of-key begin")).toBe("[secret] [secret] [secret] begin");
});
