import { describe, expect, it } from "vitest";
import { csvLines } from "./csv.ts";

describe("lines of CSV", () => {
  it("quote what has to be quoted, and leave out what is not there", () => {
    const rows = [
      ["a,b", 'say "hi"', "two\r\nlines"],
      [null, undefined, ""],
      [1, -2.5, true],
      ["one\nline", "", ""],
    ];
    expect(csvLines(["one", "two", "three"], rows, { header: true })).toBe(
      'one,two,three\r\n"a,b","say ""hi""","two\r\nlines"\r\n,,\r\n1,-2.5,true\r\n"one\nline",,\r\n',
    );
  });

  it("are no formulas, whatever somebody has named a tool", () => {
    const cells = ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"];
    expect(csvLines(["a", "b", "c", "d", "e", "f"], [cells], { header: false })).toBe(
      "'=1+1,'+1,'-1,'@sum,'\tx,\"'\rx\"\r\n",
    );
  });
});
