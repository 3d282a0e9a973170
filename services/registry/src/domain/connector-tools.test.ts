import { describe, expect, test } from "vitest";
import { toolNameIn, withOperation, withoutOperation } from "./connector-tools.ts";

const LIST = { name: "list_pets", method: "GET", path: "/pets" };
const PETS = { id: "pets", base_url: "https://pets.example", operations: [LIST] };
const OTHER = { id: "other", base_url: "https://other.example", openapi: "other.yaml", exclude: ["gone"] };
const GROUP = { name: "Office", connectors: [PETS, OTHER] };

describe("an operation more", () => {
  const GET = { name: "get_pet", method: "GET", path: "/pets/{id}" };

  test("is the last of its connector; all else stays", () => {
    expect(withOperation(GROUP, "pets", GET)).toEqual({
      ...GROUP,
      connectors: [{ ...PETS, operations: [LIST, GET] }, OTHER],
    });
  });

  test("brings back nothing that is left out of the document", () => {
    const gone = { ...GET, name: "gone" };
    expect(withOperation(GROUP, "other", gone)).toMatchObject({
      connectors: [PETS, { operations: [gone], exclude: ["gone"] }],
    });
  });

  test("of the same name, or of a connector that is not there, is refused", () => {
    expect(() => withOperation(GROUP, "pets", LIST)).toThrow('has the operation "list_pets" already');
    expect(() => withOperation(GROUP, "nobody", GET)).toThrow('there is no connector "nobody"');
    expect(() => withOperation({}, "pets", GET)).toThrow('there is no connector "pets"');
  });
});

describe("an operation less", () => {
  const FIND = { name: "find", method: "GET", path: "/mine" };
  const inForce = ["list_pets", "find"];
  const without = (group: object, connectorId: string, name: string) =>
    withoutOperation({ ...group }, { connectorId, name, inForce });

  test("is taken out; one of a document is left out by its name", () => {
    expect(without(GROUP, "pets", "list_pets")).toEqual({ ...GROUP, connectors: [{ ...PETS, operations: [] }, OTHER] });
    expect(without(GROUP, "other", "find")).toEqual({
      ...GROUP,
      connectors: [PETS, { ...OTHER, exclude: ["gone", "find"] }],
    });
  });

  test("does not bring back the one of the document that it stood for", () => {
    const own = withOperation(GROUP, "other", { ...FIND, name: "gone" });
    expect(without(own, "other", "gone")).toMatchObject({ connectors: [PETS, { operations: [], exclude: ["gone"] }] });
    const instead = withOperation(GROUP, "other", FIND);
    expect(without(instead, "other", "find")).toMatchObject({
      connectors: [PETS, { operations: [], exclude: ["gone", "find"] }],
    });
  });

  test("that is not there is refused, also where there is a document", () => {
    expect(() => without(GROUP, "pets", "get_pet")).toThrow('connector "pets" has no operation "get_pet"');
    for (const name of ["gone", "nobody", "*"])
      expect(() => without(GROUP, "other", name)).toThrow(`connector "other" has no operation "${name}"`);
  });
});

test("what is registered has a name", () => {
  expect(toolNameIn('{"name":"a","x":1}')).toEqual({ name: "a", value: { name: "a", x: 1 } });
  for (const wrong of ["{", "[]", "null", "{}", '{"name":7}', '{"name":""}'])
    expect(() => toolNameIn(wrong)).toThrow(/is missing|is not JSON/);
});
