import { registryV1 } from "@tollgate/contracts";
import { describe, expect, test } from "vitest";
import { parseReport } from "./report.ts";

const plain = (text: string): string => text;

function request(parts: Partial<registryV1.ReportServerRequest>): registryV1.ReportServerRequest {
  return { ...registryV1.ReportServerRequest.create({ serverId: "s", specHash: "h", era: "legacy" }), ...parts };
}

describe("parseReport", () => {
  test("a server that is ready", () => {
    const texts = {
      protocol: "2025-11-25",
      serverInfo: '{"name":"x"}',
      capabilities: '{ "prompts":{} }',
      instructions: "Ask first.\n\ttwice",
      isolation: "bubblewrap",
      limitsBy: "cgroup",
    };
    const offer = {
      toolDefinitions: ['{"name":"t","inputSchema":{}}'],
      promptDefinitions: ['{"name":"t"}'],
      resourceDefinitions: ['{"uri":"a:b"}', '{"uri":"a:a"}'],
      resourceTemplateDefinitions: ['{"uriTemplate":"a:b"}'],
    };
    const parsed = parseReport(request({ status: "ready", ...texts, ...offer }), plain);
    expect(parsed).toMatchObject({
      ok: true,
      value: {
        serverId: "s",
        specHash: "h",
        status: "ready",
        era: "legacy",
        ...texts,
        items: [
          { kind: "tool", key: "t" },
          { kind: "prompt", key: "t" },
          { kind: "resource", key: "a:b" },
          { kind: "resource", key: "a:a" },
          { kind: "resource_template", key: "a:b" },
        ],
      },
    });
  });

  test("a server that is not: the reason is cleaned, cut and never empty", () => {
    const reasonOf = (reason: string): unknown => {
      const parsed = parseReport(request({ status: "unavailable", reason }), (text) =>
        text.replaceAll("hunter2", "[secret]"),
      );
      return parsed.ok && parsed.value.status === "unavailable" ? parsed.value.reason : parsed;
    };
    expect(reasonOf("exit\0 1: hunter2")).toBe("exit 1: [secret]");
    expect(reasonOf("x".repeat(5_000))).toHaveLength(2_000);
    expect(reasonOf("")).toBe("the runner gave no reason");
  });

  test("what it says of its offer is not read while a server is unavailable", () => {
    const parsed = parseReport(request({ status: "unavailable", reason: "down", toolDefinitions: ["{"] }), plain);
    expect(parsed).toEqual({
      ok: true,
      value: { serverId: "s", specHash: "h", status: "unavailable", reason: "down" },
    });
  });

  test.each([
    [{ status: "pending" }, 'status is "pending"; it has to be "ready" or "unavailable"'],
    [{ status: "" }, 'status is ""'],
    [{ status: "ready", era: "stone" }, 'era is "stone"; it has to be "legacy" or "modern"'],
    [{ status: "ready", serverInfo: "{" }, "server_info is not a JSON object"],
    [{ status: "ready", serverInfo: "[]" }, "server_info is not a JSON object"],
    [
      { status: "ready", serverInfo: `{"a":"${"x".repeat(65_536)}"}` },
      "server_info is not a JSON object of at most 65536",
    ],
    [{ status: "ready", capabilities: "[]" }, "capabilities is not a JSON object of at most 65536"],
    [{ status: "ready", protocol: "2025 11 25" }, "protocol is not a revision of MCP such as 2025-11-25"],
    [{ status: "ready", protocol: "x".repeat(65) }, "protocol is not a revision of MCP"],
    [{ status: "ready", instructions: "x".repeat(65_537) }, "instructions are not a text of at most 65536 characters"],
    [{ status: "ready", instructions: "a\0b" }, "instructions are not a text of at most 65536 characters without NUL"],
    [{ status: "ready", isolation: "a b" }, "isolation and limits_by have to be words"],
    [{ status: "ready", limitsBy: "x".repeat(33) }, "isolation and limits_by have to be words"],
    [{ status: "ready", toolDefinitions: ["{"] }, "tool 1: its definition is not JSON"],
    [{ status: "ready", promptDefinitions: ["{}"] }, "prompt 1: its name is not a string"],
    [{ status: "ready", resourceDefinitions: ["{}"] }, "resource 1: its uri is not a string"],
    [{ status: "ready", resourceTemplateDefinitions: ["{}"] }, "resource template 1: its uriTemplate is not a string"],
    [{ status: "ready", toolDefinitions: Array(70).fill("x".repeat(250_000)) }, "what it offers has 17500000 bytes"],
    [
      {
        status: "ready",
        promptDefinitions: Array(35).fill("x".repeat(250_000)),
        resourceDefinitions: Array(35).fill("x".repeat(250_000)),
      },
      "what it offers has 17500000 bytes",
    ],
  ])("refuses %.80j", (parts, reason) => {
    expect(parseReport(request(parts), plain)).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });
});
