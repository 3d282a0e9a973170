import { describe, expect, test } from "vitest";
import { createResultCache, resultKey } from "./result-cache.ts";

const result = (text: string, at = 0) => ({ text, era: "legacy" as const, at });

describe("kept results", () => {
  test("are found until they are too old", () => {
    const cache = createResultCache({ max: 10, maxBytes: 1_000 });
    cache.keep("a", result('{"x":"é"}', 5));
    expect(cache.find("a", 5)).toEqual({ text: '{"x":"é"}', era: "legacy", at: 5 });
    expect(cache.find("b", 0)).toBeUndefined();
    expect(cache.find("a", 6)).toBeUndefined();
    expect(cache.find("a", 0)).toBeUndefined();
  });

  test("of too many the one used longest ago goes", () => {
    const cache = createResultCache({ max: 2, maxBytes: 1_000 });
    cache.keep("a", result("1"));
    cache.keep("b", result("2"));
    cache.find("a", 0);
    cache.keep("c", result("3"));
    expect(["a", "b", "c"].map((key) => cache.find(key, 0)?.text)).toEqual(["1", undefined, "3"]);
  });

  test("of too large ones as well, and one that is too large by itself is not kept", () => {
    const cache = createResultCache({ max: 10, maxBytes: 10 });
    for (const [key, length] of [
      ["a", 6],
      ["b", 5],
      ["c", 5],
      ["d", 11],
    ] as const)
      cache.keep(key, result("x".repeat(length)));
    expect(["a", "b", "c", "d"].map((key) => cache.find(key, 0)?.text.length)).toEqual([undefined, 5, 5, undefined]);
    // A newer one takes the place of an older one's bytes.
    cache.keep("b", result("1234"));
    cache.keep("c", result("123456"));
    expect(["b", "c"].map((key) => cache.find(key, 0)?.text)).toEqual(["1234", "123456"]);
  });
});

describe("the key", () => {
  const facts = { tenant: "acme", principal: "p", server: "s", tool: "t" };
  const key = (args: string | undefined, more = {}, specHash = "h") => resultKey({ ...facts, ...more }, specHash, args);

  test("is the same however the arguments are written", () => {
    expect(key('{"b": {"d":1,"c":[2, 3]}, "a":"x"}')).toBe(key('{"a":"\\u0078","b":{"c":[2,3],"d":1}}'));
    expect(key(undefined)).toBe(key("{}"));
  });

  test("is the same however keys are written, whatever was read before", () => {
    // After the first, JSON.parse of Node 24 reads the second's `amount` as `\\u0061`.
    key(String.raw`{"to":[],"\\u0061":0}`);
    expect(key(String.raw`{"to":1,"\u0061mount":1}`)).toBe(key('{"to":1,"amount":1}'));
  });

  test("differs by whatever may make the result another", () => {
    const args = [
      '{"a":1}',
      '{"a":"1"}',
      '{"a":[1]}',
      '{"a":null}',
      '{"a":{}}',
      '{"a":9007199254740992}',
      '{"a":9007199254740993}',
      '{"a":{"number":"1"}}',
      '{"a":[["b",1]]}',
      '{"a":{"b":1}}',
      '{"a":{"members":[["b",{"number":"1"}]]}}',
    ];
    const others = [{ tenant: "rival" }, { principal: "q" }, { server: "z" }, { tool: "u" }];
    const keys = [...args.map((each) => key(each)), ...others.map((each) => key(args[0], each)), key(args[0], {}, "i")];
    expect(new Set(keys).size).toBe(args.length + others.length + 1);
  });
});
