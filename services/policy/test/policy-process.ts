import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { policyV1 } from "@tollgate/contracts";
import { callUnary, type Life, openGrpcClient, serviceMetadata } from "@tollgate/service";
import { eventually, type Infrastructure, startService } from "@tollgate/testkit";
import { ADMIN_TOKEN, DEV_TOKEN, FILE } from "./running-policy.ts";

/** A policy service as a process of its own, which can be killed and suspended. */
export async function startPolicyProcess(
  infra: Infrastructure,
  options: { readonly folder: string; readonly databaseUrl: string; readonly life: Life; readonly grpcPort?: number },
) {
  const { folder, databaseUrl, life } = options;
  const file = join(folder, "tollgate.yaml");
  await writeFile(file, FILE);
  const started = await startService("policy", {
    PATH: process.env["PATH"] ?? "",
    TOLLGATE_LOG_LEVEL: "debug",
    TOLLGATE_SERVICE_KEY: infra.serviceKey,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: String(options.grpcPort ?? 0),
    TOLLGATE_DATABASE_URL: databaseUrl,
    TOLLGATE_NATS_URL: infra.natsUrl,
    TOLLGATE_BUS_PREFIX: infra.busPrefix,
    TOLLGATE_CONFIG_FILE: file,
    DEV_TOKEN,
    ADMIN_TOKEN,
  });
  const grpcPort = await eventually(() => {
    const [, port] = /"grpcPort":(\d+)/.exec(started.output()) ?? [];
    if (port === undefined) throw new Error("it has not said where it listens");
    return Number(port);
  });
  const address = `127.0.0.1:${grpcPort}`;
  const client = openGrpcClient(policyV1.PolicyServiceClient, { address, name: "policy", life });
  const metadata = serviceMetadata(infra.serviceKey);
  life.onClose("policy process", 5_000, async () => {
    if (isAlive(started.pid)) process.kill(started.pid, "SIGCONT");
    await started.stop("SIGKILL");
  });
  return {
    client,
    metadata,
    grpcPort,
    stop: (signal: NodeJS.Signals) => started.stop(signal),
    suspend: () => process.kill(started.pid, "SIGSTOP"),
    resume: () => process.kill(started.pid, "SIGCONT"),
    /** Any change. Resolves to the revision from which on it holds. */
    async change(id: string): Promise<bigint> {
      const policy = policyV1.Policy.fromPartial({ id, effect: "deny", principals: ["*"], actions: ["*"] });
      const request = { policy: { ...policy, resources: ["*"] }, actor: "tester" };
      const unary = { metadata, timeoutMs: 20_000, service: "policy" };
      return (await callUnary(client.putPolicy.bind(client), request, unary)).revision;
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A way to the database that can be cut: then nothing passes any more, and nobody is told. */
export async function openWay(infra: Infrastructure, life: Life) {
  const url = new URL(infra.databaseUrl("policy"));
  const database = { host: url.hostname, port: Number(url.port) };
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    const far = connect(database);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => (near.destroy(), far.destroy(), sockets.delete(socket)));
    }
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk) => near.write(chunk));
    if (isCut) for (const socket of [near, far]) socket.pause();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  life.onClose("way to the database", 1_000, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.toString(),
    cut(): void {
      isCut = true;
      for (const socket of sockets) socket.pause();
    },
    mend(): void {
      isCut = false;
      for (const socket of sockets) socket.resume();
    },
  };
}
