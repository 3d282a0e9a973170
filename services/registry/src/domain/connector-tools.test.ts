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

  test("is not left out any more", () => {
    const gone = { ...GET, name: "gone" };
    expect(withOperation(GROUP, "other", gone)).toMatchObject({
      connectors: [PETS, { operations: [gone], exclude: [] }],
    });
  });

  test("of the same name, or of a connector that is not there, is refused", () => {
    expect(() => withOperation(GROUP, "pets", LIST)).toThrow('has the operation "list_pets" already');
    expect(() => withOperation(GROUP, "nobody", GET)).toThrow('there is no connector "nobody"');
    expect(() => withOperation({}, "pets", GET)).toThrow('there is no connector "pets"');
  });
});

describe("an operation less", () => {
  test("is taken out; one of a document is left out by its name", () => {
    expect(withoutOperation(GROUP, "pets", "list_pets")).toMatchObject({ connectors: [{ operations: [] }, OTHER] });
    expect(withoutOperation(GROUP, "other", "find")).toMatchObject({
      connectors: [PETS, { exclude: ["gone", "find"] }],
    });
    expect(withoutOperation(GROUP, "other", "gone")).toMatchObject({ connectors: [PETS, { exclude: ["gone"] }] });
  });

  test("that is not there is refused", () => {
    expect(() => withoutOperation(GROUP, "pets", "get_pet")).toThrow('connector "pets" has no operation "get_pet"');
  });
});

test("what is registered has a name", () => {
  expect(toolNameIn('{"name":"a","x":1}')).toEqual({ name: "a", value: { name: "a", x: 1 } });
  for (const wrong of ["{", "[]", "null", "{}", '{"name":7}', '{"name":""}'])
    expect(() => toolNameIn(wrong)).toThrow(/is missing|is not JSON/);
});
