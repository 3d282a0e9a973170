import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/**
 * The folder that a Node script's own files are in: that of the package that it belongs to, else its own. Not a whole
 * home or disk, whatever lies there.
 */
export function packageFolder(script: string): string {
  for (let dir = dirname(script); dir !== dirname(dir) && dir !== homedir(); dir = dirname(dir)) {
    if (existsSync(join(dir, "package.json"))) return dir;
  }
  return dirname(script);
}
