import type { Exception } from "./exceptions.ts";
import { compareFindings, type Finding } from "./finding.ts";
import { checkAmbient } from "./rules/ambient.ts";
import { checkDependencies } from "./rules/dependencies.ts";
import { checkDirection } from "./rules/direction.ts";
import { checkDomain } from "./rules/domain.ts";
import { checkNames } from "./rules/names.ts";
import { checkPackages } from "./rules/packages.ts";
import { checkReach } from "./rules/reach.ts";
import { checkSizes } from "./rules/sizes.ts";
import { checkTests } from "./rules/tests.ts";
import { checkText } from "./rules/text.ts";
import { readTree, type Tree } from "./tree.ts";

const RULES: readonly ((tree: Tree) => Iterable<Finding>)[] = [
  checkDirection,
  checkDomain,
  checkPackages,
  checkDependencies,
  checkAmbient,
  checkReach,
  checkSizes,
  checkNames,
  checkTests,
  checkText,
];

/** Every finding of every rule in the tree at `root`, without those that an exception covers. */
export function inspect(
  root: string,
  exceptions: readonly Exception[],
): { readonly findings: readonly Finding[]; readonly fileCount: number } {
  const tree = readTree(root);
  const found = RULES.flatMap((rule) => [...rule(tree)]);
  const covers = (exception: Exception, { rule, file, message }: Finding): boolean =>
    exception.rule === rule && exception.file === file && message.includes(exception.about ?? "");

  const kept = found.filter((finding) => !exceptions.some((exception) => covers(exception, finding)));
  const stale = exceptions
    .filter((exception) => !found.some((finding) => covers(exception, finding)))
    .map(({ rule, file }) => ({
      rule: "stale-exception",
      file,
      line: 1,
      message: `nothing here breaks "${rule}" any more; remove the exception from tools/tidy/src/exceptions.ts`,
    }));
  return { findings: [...kept, ...stale].toSorted(compareFindings), fileCount: tree.texts.length };
}
