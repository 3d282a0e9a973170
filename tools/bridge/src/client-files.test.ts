import { expect, test } from "vitest";
import { CLIENT_NAMES, clientFile } from "./client-files.ts";

test("knows where each client keeps its servers on each platform", () => {
  const paths = (platform: NodeJS.Platform, home: string, appData?: string) =>
    CLIENT_NAMES.map((client) => clientFile(client, { platform, home, appData }).path);
  expect(paths("linux", "/home/a")).toEqual([
    "/home/a/.config/Claude/claude_desktop_config.json",
    "/home/a/.cursor/mcp.json",
    "/home/a/.config/Code/User/mcp.json",
    "/home/a/.claude.json",
  ]);
  expect(paths("darwin", "/Users/a")[0]).toBe("/Users/a/Library/Application Support/Claude/claude_desktop_config.json");
  expect(paths("darwin", "/Users/a")[2]).toBe("/Users/a/Library/Application Support/Code/User/mcp.json");
  expect(paths("win32", "C:\\Users\\a", "C:\\Users\\a\\AppData\\Roaming")).toEqual([
    "C:\\Users\\a\\AppData\\Roaming\\Claude\\claude_desktop_config.json",
    "C:\\Users\\a\\.cursor\\mcp.json",
    "C:\\Users\\a\\AppData\\Roaming\\Code\\User\\mcp.json",
    "C:\\Users\\a\\.claude.json",
  ]);
});
