import { expect, test } from "vitest";
import { operationIdOf } from "./operation-ids.ts";

test.each([
  ["get", "/api/v1/servers", true, "listServers"],
  ["get", "/api/v1/servers/{id}", false, "getServer"],
  ["get", "/api/v1/servers/{id}/tools", true, "listServerTools"],
  ["get", "/api/v1/policies/{id}/history", true, "listPolicyHistory"],
  ["get", "/api/v1/servers/{id}/tools/{tid}/versions", true, "listServerToolVersions"],
  ["get", "/metering/usage", false, "getMeteringUsage"],
  ["put", "/api/v1/policies/{id}", false, "putPolicy"],
  ["put", "/api/v1/groups/{id}/connectors", false, "putGroupConnectors"],
  ["delete", "/api/v1/dead-letters/{id}", false, "deleteDeadLetter"],
  ["post", "/api/v1/servers", false, "createServer"],
  ["post", "/api/v1/servers/{id}/tools", false, "createServerTool"],
  ["post", "/api/v1/metering/rate-cards", false, "createMeteringRateCard"],
  ["post", "/api/v1/servers/{id}/restart", false, "restartServer"],
  ["post", "/api/v1/dead-letters/{id}/put-back", false, "putBackDeadLetter"],
  ["post", "/api/v1/policies/what-if", false, "whatIfPolicies"],
  ["post", "/api/v1/batch", false, "batch"],
])("%s %s (list: %s) is %s", (method, path, isList, name) => expect(operationIdOf(method, path, isList)).toBe(name));
