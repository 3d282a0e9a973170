import { describe, expect, test } from "vitest";
import { type Certification, type KnownTool, standingOf } from "./tool-standing.ts";

const tool = (served: [number, Certification], reported = served, removedBy = ""): KnownTool => ({
  served: { version: served[0], certification: served[1] },
  reported: { version: reported[0], certification: reported[1] },
  removedBy,
});
const OPTIONAL = ["serve_old", "withhold", "accept"].map((changes) => ({ changes, certification: "optional" }));
const REQUIRED = OPTIONAL.map(({ changes }) => ({ changes, certification: "required" }));
const holdsOf = (known: KnownTool, policies: readonly { changes: string; certification: string }[]) =>
  policies.map((policy) => standingOf(known, policy as never).hold);

describe.each<[string, KnownTool, string[], string[]]>([
  // serve_old, withhold, accept: first where certification is optional, then where it is required.
  ["new", tool([1, "draft"]), ["", "", ""], ["withheld", "withheld", "withheld"]],
  ["submitted", tool([1, "submitted"]), ["", "", ""], ["withheld", "withheld", "withheld"]],
  ["approved", tool([1, "approved"]), ["", "", ""], ["", "", ""]],
  ["retired", tool([1, "retired"]), ["withheld", "withheld", "withheld"], ["withheld", "withheld", "withheld"]],
  ["changed", tool([1, "draft"], [2, "draft"]), ["held", "withheld", ""], ["withheld", "withheld", "withheld"]],
  [
    "changed after an approval",
    tool([1, "approved"], [2, "draft"]),
    ["held", "withheld", ""],
    ["held", "withheld", "held"],
  ],
  ["changed, and approved before that is served", tool([1, "retired"], [2, "approved"]), ["", "", ""], ["", "", ""]],
  [
    "changed after it was retired",
    tool([1, "retired"], [2, "draft"]),
    ["withheld", "withheld", ""],
    ["withheld", "withheld", "withheld"],
  ],
  [
    "changed to what was retired",
    tool([2, "approved"], [1, "retired"]),
    ["held", "withheld", "held"],
    ["held", "withheld", "held"],
  ],
  [
    "removed",
    tool([1, "approved"], [1, "approved"], "admin"),
    ["withheld", "withheld", "withheld"],
    ["withheld", "withheld", "withheld"],
  ],
])("a tool that is %s", (_what, known, optional, required) => {
  test("where certification is optional", () => expect(holdsOf(known, OPTIONAL)).toEqual(optional));
  test("where certification is required", () => expect(holdsOf(known, REQUIRED)).toEqual(required));
});

test("the reason says what is waited for", () => {
  const reasonOf = (known: KnownTool, certification: "optional" | "required") =>
    standingOf(known, { changes: "serve_old", certification }).reason;
  const changed = tool([1, "draft"], [3, "draft"]);
  expect(reasonOf(changed, "optional")).toBe("its definition has changed; version 3 waits for approval");
  expect(reasonOf(changed, "required")).toBe("not certified: its definition has changed; version 3 waits for approval");
  expect(reasonOf(tool([1, "draft"]), "required")).toBe("not certified: version 1 waits for approval");
  expect(reasonOf(tool([1, "retired"]), "optional")).toBe("version 1 is retired");
  expect(reasonOf(tool([1, "draft"], [1, "draft"], "ops"), "optional")).toBe("removed by ops");
});
