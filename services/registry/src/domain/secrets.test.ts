import { describe, expect, test } from "vitest";
import { hideSecrets } from "./secrets.ts";

const SERVER = {
  env: { URL: "postgres://u:correct-horse@db/x", PLAIN: "plain-api-key", MODE: "dev" },
  written: { args: ["--key", "${KEY}"], env: { URL: "postgres://u:${PASSWORD}@db/x", PLAIN: "(set in the file)" } },
};
const ENV = { KEY: "key-of-the-kingdom", PASSWORD: "correct-horse", UNUSED: "not-this-server" };

describe("hideSecrets", () => {
  test.each([
    ["failed with postgres://u:correct-horse@db/x", "failed with [secret]"],
    ["password correct-horse is wrong, correct-horse", "password [secret] is wrong, [secret]"],
    ["--key=key-of-the-kingdom", "--key=[secret]"],
    ["PLAIN=plain-api-key", "PLAIN=[secret]"],
    ["mode dev; not-this-server", "mode dev; not-this-server"],
    ["$& $1 stay as they are", "$& $1 stay as they are"],
  ])("%s", (text, hidden) => expect(hideSecrets(text, SERVER, ENV)).toBe(hidden));

  test("of an unknown server nothing is known to be secret", () => {
    expect(hideSecrets("text", undefined, ENV)).toBe("text");
  });
});
