import { expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";

const installation = useInstallation();

async function change(method: string, path: string, body?: object) {
  const response = await fetch(installation.url(`/api/v1${path}`), {
    method,
    headers: {
      authorization: "Bearer admin",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { status, headers } = response;
  return { status, catalogue: headers.get("tollgate-catalogue"), body: await response.json() };
}

const SERVER = { id: "new", group: "demo", type: "node", command: "server.js", name: "New" };
const SET = { id: "shop", tools: ["one:*"] };

test("a change that is done is answered as such, also where this gateway does not hear of it", async () => {
  installation.around.policy.tokens.set("admin", principal({ permissions: ["admin"] }));
  const inTime = await change("POST", "/tool-sets", SET);
  expect(inTime).toMatchObject({ status: 201, catalogue: null });
  installation.around.revisionOfChange = () => 1_000_000n;
  const answers = await Promise.all([
    change("POST", "/tool-sets", SET),
    change("PUT", "/tool-sets/shop", { tools: SET.tools }),
    change("POST", "/servers", SERVER),
    change("PUT", "/groups/demo", { name: "Demo" }),
    change("DELETE", "/tool-sets/shop"),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 200]);
  for (const { catalogue } of answers) expect(catalogue).toBe("behind");
  expect(answers[2]).toMatchObject({ body: { id: "new", name: "New", status: "pending", source: "api", version: 1 } });
  expect(answers[4]).toMatchObject({ body: { revision: 1_000_000 } });
});
