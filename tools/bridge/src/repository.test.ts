import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findRepository, repositoryOf } from "./repository.ts";

test.each([
  ["git@github.com:acme/shop.git", "github.com/acme/shop"],
  ["github.com:acme/shop", "github.com/acme/shop"],
  ["https://github.com/acme/shop.git", "github.com/acme/shop"],
  ["https://user:secret@GitHub.com:8443/Acme/Shop/", "github.com/Acme/Shop"],
  ["ssh://git@gitlab.example:2222/group/sub/shop.git", "gitlab.example/group/sub/shop"],
  ["git://host.example/a%20b", "host.example/a b"],
  ["git@host.example:/srv/shop.git", "host.example/srv/shop"],
  ["/srv/git/shop.git", undefined],
  ["../shop", undefined],
  ["file:///srv/git/shop.git", undefined],
  ["C:\\code\\shop", undefined],
  ["C:/code/shop", undefined],
  ["https://github.com/", undefined],
  ["https://github.com/%ff", undefined],
  ["", undefined],
  [`git@github.com:${"a".repeat(400)}`, undefined],
])("the remote %j is %j", (url, repository) => expect(repositoryOf(url)).toBe(repository));

describe("the repository of a folder", () => {
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "bridge-repository-"));
  });
  afterAll(() => rm(home, { recursive: true }));

  async function put(path: string, text: string): Promise<void> {
    await mkdir(join(home, path, ".."), { recursive: true });
    await writeFile(join(home, path), text);
  }
  const remote = (url: string) =>
    `[core]\n\tbare = false\n[remote "other"]\n\turl = git@other.example:x/y\n[remote "origin"] ; mine\n\turl = ${url}\n\tfetch = +refs\n[branch "main"]\n\turl = no\n`;

  test("is the nearest above it, with its remote", async () => {
    await put("shop/.git/config", remote("git@github.com:acme/shop.git"));
    await put("shop/src/deep/file", "");
    for (const folder of ["shop", "shop/src/deep"])
      expect(await findRepository(join(home, folder))).toEqual({
        root: join(home, "shop"),
        remote: "github.com/acme/shop",
      });
  });

  test("has no remote where there is none, or one on this machine", async () => {
    await put("none/.git/config", "[core]\n");
    await put("local/.git/config", remote("/srv/git/shop"));
    await put("empty/.git/HEAD", "");
    for (const folder of ["none", "local", "empty"])
      expect(await findRepository(join(home, folder))).toEqual({ root: join(home, folder), remote: undefined });
  });

  test("of a worktree and of a submodule is where their files say", async () => {
    await put("main/.git/config", remote("https://github.com/acme/main.git"));
    await put("main/.git/worktrees/side/commondir", "../..\n");
    await put("side/.git", `gitdir: ${join(home, "main/.git/worktrees/side")}\n`);
    await put("main/.git/modules/lib/config", remote("https://github.com/acme/lib.git"));
    await put("main/lib/.git", "gitdir: ../.git/modules/lib\n");
    expect(await findRepository(join(home, "side"))).toMatchObject({ remote: "github.com/acme/main" });
    expect(await findRepository(join(home, "main/lib"))).toMatchObject({ remote: "github.com/acme/lib" });
  });

  test("is none of a folder that is in none, or whose .git is nothing of Git's", async () => {
    await put("odd/.git", "what is this");
    await put("folder/file", "");
    // Above the temporary folder there is none either.
    expect(await findRepository(join(home, "folder"))).toBeUndefined();
    expect(await findRepository(join(home, "odd"))).toBeUndefined();
  });
});
