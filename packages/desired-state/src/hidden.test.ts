import { expect, test } from "vitest";
import { hideSecretsOf, keepHidden, revealSecretsOf } from "./hidden.ts";

const ENTRY = {
  id: "notes",
  url: "https://notes.example/?key=abc",
  env: { TOKEN: "${TOKEN}", PLAIN: "in plain text", ESCAPED: "$${TOKEN}", NONE: "" },
  headers: { Authorization: "Bearer ${secret:notes}", "X-Key": "abc" },
  args: ["--verbose"],
};
const SHOWN = {
  id: "notes",
  url: "(hidden)",
  env: { TOKEN: "${TOKEN}", PLAIN: "(hidden)", ESCAPED: "(hidden)", NONE: "" },
  headers: { Authorization: "Bearer ${secret:notes}", "X-Key": "(hidden)" },
  args: ["--verbose"],
};

test("what may be a secret in plain text is taken out of a server, and can be put back", () => {
  const { shown, hidden } = hideSecretsOf("server", ENTRY);
  expect(shown).toEqual(SHOWN);
  expect(Object.values(hidden)).toEqual(["https://notes.example/?key=abc", "in plain text", "$${TOKEN}", "abc"]);
  expect(revealSecretsOf(shown, hidden)).toEqual(ENTRY);
});

test("who changes what is shown keeps what is hidden", () => {
  const changed = { ...SHOWN, env: { ...SHOWN.env, PLAIN: "another", NEW: "(hidden)" }, args: ["(hidden)"] };
  const { value, missing } = keepHidden("server", changed, ENTRY);
  const env = { ...ENTRY.env, PLAIN: "another", NEW: "(hidden)" };
  expect(value).toEqual({ ...ENTRY, env, args: ["(hidden)"] });
  expect(missing).toEqual([["env", "NEW"]]);
  expect(keepHidden("server", SHOWN, undefined).missing).toHaveLength(4);
});

test("entries that are not what they should be hide nothing", () => {
  for (const env of [null, "text", ["a"], 1]) expect(hideSecretsOf("server", { env }).shown).toBeDefined();
  expect(hideSecretsOf("group", { url: "x" }).shown).toEqual({ url: "x" });
});
