import { readFile } from "node:fs/promises";
import { Script, createContext } from "node:vm";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";

const installation = useInstallation();
const ID = "019a9e1c-5a40-7000-8f2b-3c1d5e7f9a0b";
const HOSTILE = "<img src=x onerror=alert(1)>";

/** As much of a document as the page uses: elements have text, and nothing that could be markup. */
class FakeElement {
  readonly tag: string;
  textContent = "";
  value = "";
  hidden = true;
  disabled = false;
  children: FakeElement[] = [];
  readonly listeners: Record<string, (event: object) => void> = {};
  constructor(tag: string) {
    this.tag = tag;
  }
  replaceChildren(...children: FakeElement[]): void {
    this.children = children;
  }
  addEventListener(name: string, listener: (event: object) => void): void {
    this.listeners[name] = listener;
  }
}

async function openPage(answers: (path: string, init: { method: string; headers: any; body?: string }) => object) {
  const source = await (await fetch(installation.url("/approvals/approval.js"))).text();
  const elements = new Map<string, FakeElement>();
  const at = (id: string): FakeElement => {
    if (!elements.has(id)) elements.set(id, new FakeElement("known"));
    return elements.get(id)!;
  };
  const document = {
    getElementById: at,
    createElement: (tag: string) => new FakeElement(tag),
    querySelectorAll: () => [at("approve"), at("deny"), at("revoke")],
  };
  const asked: { path: string; method: string; body: unknown; token: string }[] = [];
  const answer = async (path: string, init: { method: string; headers: any; body?: string }) => {
    asked.push({
      path,
      method: init.method,
      body: init.body && JSON.parse(init.body),
      token: init.headers.authorization,
    });
    const found = answers(path, init);
    return { ok: !("detail" in found), status: 200, json: async () => found };
  };
  const context = createContext({ document, location: { pathname: `/approvals/${ID}` }, fetch: answer });
  new Script(source).runInContext(context);
  const submit = (form: string, submitter?: object) =>
    at(form).listeners["submit"]!({ preventDefault: () => undefined, submitter });
  return { at, asked, submit };
}

const approval = (fields: object = {}) => ({
  id: ID,
  tenant: "acme",
  principal: HOSTILE,
  team: HOSTILE,
  group: "g",
  server: "s",
  tool: HOSTILE,
  risk: "HIGH",
  arguments: { [HOSTILE]: HOSTILE },
  justification: HOSTILE,
  justificationMissing: false,
  status: "pending",
  needed: 2,
  votes: [{ by: HOSTILE, approve: true, reason: HOSTILE, at: "" }],
  requestedAt: "2027-01-01T00:00:00.000Z",
  expiresAt: "2027-01-01T01:00:00.000Z",
  ...fields,
});

describe("the page", () => {
  test("is the same for every approval, runs its own script only, and is kept nowhere", async () => {
    const response = await fetch(installation.url(`/approvals/${ID}`));
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    );
    for (const [name, value] of [
      ["cache-control", "no-store"],
      ["referrer-policy", "no-referrer"],
      ["x-content-type-options", "nosniff"],
    ])
      expect(response.headers.get(name!)).toBe(value);
    const html = await response.text();
    expect(html).not.toMatch(/\son[a-z]+=|javascript:|<style|style=|<script(?![^>]*src=)/i);
    expect(html).not.toContain(ID);
    expect((await fetch(installation.url("/approvals/approval.css"))).headers.get("content-type")).toContain(
      "text/css",
    );
  });

  test.each(["x", "..%2f..%2fetc", `${ID}x`, "%3Cscript%3E", "approval.html"])("is not there for %s", async (id) => {
    expect((await fetch(installation.url(`/approvals/${id}`))).status).toBe(404);
  });

  test("never makes markup of a text", async () => {
    const source = await readFile(new URL("../page/approval.js", import.meta.url), "utf8");
    expect(source).not.toMatch(
      /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|srcdoc|Storage|cookie/,
    );
  });

  test("shows what others have written as text", async () => {
    const page = await openPage(() => approval());
    page.at("token").value = " secret ";
    page.submit("access");
    await eventually(() => expect(page.at("call").hidden).toBe(false));
    expect(page.asked).toEqual([
      { path: `../api/v1/approvals/${ID}`, method: "GET", body: undefined, token: "Bearer secret" },
    ]);
    const facts = page.at("facts").children;
    expect(new Set(facts.map(({ tag }) => tag))).toEqual(new Set(["dt", "dd"]));
    expect(facts.map(({ textContent }) => textContent)).toContain(`s: ${HOSTILE}`);
    expect(page.at("votes").children.map(({ textContent }) => textContent)).toEqual([
      `${HOSTILE} approved: ${HOSTILE}`,
    ]);
    expect(JSON.parse(page.at("arguments").textContent)).toEqual({ [HOSTILE]: HOSTILE });
  });

  test("takes a decision with its reason, and shows what came of it", async () => {
    let status = "pending";
    const page = await openPage((path) => {
      if (path.endsWith("/deny")) status = "denied";
      return approval({ status });
    });
    page.submit("access");
    await eventually(() => expect(page.at("decision").hidden).toBe(false));
    expect([page.at("approve").hidden, page.at("revoke").hidden, page.at("why").hidden]).toEqual([false, true, true]);
    page.at("reason").value = "no";
    page.submit("decision", { value: "deny" });
    await eventually(() => expect(page.at("decision").hidden).toBe(true));
    expect(page.asked[1]).toMatchObject({ path: `../api/v1/approvals/${ID}/deny`, body: { reason: "no" } });
  });

  test("lets a caller say why, and says what went wrong", async () => {
    const page = await openPage((_path, { method }) =>
      method === "POST" ? { detail: "may not" } : approval({ justificationMissing: true, justification: "" }),
    );
    page.submit("access");
    await eventually(() => expect(page.at("why").hidden).toBe(false));
    page.at("justification").value = "because";
    page.submit("why");
    await eventually(() => expect(page.at("message").textContent).toBe("may not"));
    expect(page.asked[1]).toMatchObject({
      path: "../api/v1/approvals",
      body: { server: "s", tool: HOSTILE, arguments: { [HOSTILE]: HOSTILE }, justification: "because" },
    });
  });
});
