import { expect, test } from "vitest";
import { rawMember, rawMembers } from "./raw-json.ts";

test("gives each member as it is spelled", () => {
  const text =
    ' { "a" : 1.0, "b":12345678901234567890 ,"c":{"x":[1,{"y":"}]"}]}, "d\\"":"a,\\"b\\\\", "a":[ 1 , 2 ] } ';
  expect(rawMembers(text)).toEqual([
    { key: "a", value: "1.0" },
    { key: "b", value: "12345678901234567890" },
    { key: "c", value: '{"x":[1,{"y":"}]"}]}' },
    { key: 'd"', value: '"a,\\"b\\\\"' },
    { key: "a", value: "[ 1 , 2 ]" },
  ]);
});

test("the last of several members counts, as for JSON.parse", () => {
  const text = '{"id":1,"params":{"id":2},"id":"three"}';
  expect(rawMember(text, "id")).toBe('"three"');
  expect(JSON.parse(text).id).toBe("three");
  expect(rawMember(text, "none")).toBeUndefined();
});

test("gives the elements of an array, and nothing of other values", () => {
  expect(rawMembers('[1.50, "a,b" ,[],{}]').map((member) => member.value)).toEqual(["1.50", '"a,b"', "[]", "{}"]);
  for (const text of ["[]", "{ }", "1", '"{}"', "null"]) expect(rawMembers(text)).toEqual([]);
});
