import { describe, expect, test } from "vitest";
import { hideSecrets } from "./server-secrets.ts";

const SERVER = {
  url: "https://mcp.example/everything/key-in-the-path-1/mcp?key=query+api/key==&token=t%2F0123456789&v=1",
  headers: { Authorization: "Bearer header-token-1", "X-Mode": "dev" },
  env: { URL: "postgres://u:correct-horse@db/x", PLAIN: "plain-api-key", MODE: "dev" },
  secrets: ["key-of-the-kingdom", "a long/secret", "correct-horse", "first-line\nsecond-line"],
};

describe("hideSecrets", () => {
  test.each([
    ["failed with postgres://u:correct-horse@db/x", "failed with [secret]"],
    ["password correct-horse is wrong, correct-horse", "password [secret] is wrong, [secret]"],
    ["--key=key-of-the-kingdom", "--key=[secret]"],
    ["PLAIN=plain-api-key", "PLAIN=[secret]"],
    ["mode dev; not-this-server", "mode dev; not-this-server"],
    ["$& $1 stay as they are", "$& $1 stay as they are"],
    ["GET https://mcp.example/mcp?key=query+api/key==&v=1: 401", "GET https://mcp.example/mcp?key=[secret]&v=1: 401"],
    ["token=t%2F0123456789 or t/0123456789", "token=[secret] or [secret]"],
    ["https://mcp.example/everything/key-in-the-path-1/mcp", "https://mcp.example/everything/[secret]/mcp"],
    ["sent Bearer header-token-1; header-token-1 is unknown", "sent [secret]; [secret] is unknown"],
    ["read first-line\nsecond-line, then second-line", "read [secret], then [secret]"],
    ["https://mcp.example/?k=a%20long%2Fsecret", "https://mcp.example/?k=[secret]"],
  ])("%s", (text, hidden) => expect(hideSecrets(text, SERVER)).toBe(hidden));

  test("of an unknown server nothing is known to be secret", () => {
    expect(hideSecrets("text", undefined)).toBe("text");
  });
});
