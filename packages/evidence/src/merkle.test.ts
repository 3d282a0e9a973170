import { describe, expect, it } from "vitest";
import { leafHash } from "./chain.ts";
import { inclusionPath, merkleRoot, rootOfPath } from "./merkle.ts";

/** Those of Certificate Transparency's reference implementation, with the roots of the trees over the first n. */
const LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const leavesOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, at) =>
    leafHash(Buffer.from(LEAVES[at] ?? "", "hex").toString() + (at >= 8 ? at : "")),
  );

describe("the Merkle tree", () => {
  it("has the roots of RFC 6962", () => {
    for (const [at, root] of ROOTS.entries())
      expect(merkleRoot(Buffer.concat(leavesOf(at + 1))).toString("hex")).toBe(root);
  });

  it("has a path for each leaf that leads to the root, and to no root for another leaf, place or size", () => {
    for (let size = 1; size <= 40; size++) {
      const leaves = leavesOf(size);
      const all = Buffer.concat(leaves);
      const root = merkleRoot(all);
      for (const [index, leaf] of leaves.entries()) {
        const path = inclusionPath(all, index);
        expect(path.length).toBeLessThanOrEqual(Math.ceil(Math.log2(size)));
        expect(rootOfPath({ leaf, index, size, path })).toEqual(root);
        expect(rootOfPath({ leaf: leafHash("another"), index, size, path })).not.toEqual(root);
        if (size > 1) expect(rootOfPath({ leaf, index: index ^ 1, size, path })).not.toEqual(root);
        expect(rootOfPath({ leaf, index, size, path: [...path, leaf] })).toBeUndefined();
        if (size > 1) expect(rootOfPath({ leaf, index, size, path: path.slice(1) })).not.toEqual(root);
        expect(rootOfPath({ leaf, index: index - size, size, path })).toBeUndefined();
      }
    }
  });
});
