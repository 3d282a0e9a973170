import { makeGenericClientConstructor, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { type Life, openLife } from "../src/life.ts";
import { startGrpcServer } from "../src/grpc-server.ts";
import { testLog } from "@tollgate/testkit";

const asText = {
  requestSerialize: (text: string) => Buffer.from(text),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (text: string) => Buffer.from(text),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

/** A service with a method of each kind, of texts: what is tested is what lies around the methods. */
const definition = {
  echo: { path: "/test.Echo/Echo", requestStream: false, responseStream: false, ...asText },
  watch: { path: "/test.Echo/Watch", requestStream: false, responseStream: true, ...asText },
  collect: { path: "/test.Echo/Collect", requestStream: true, responseStream: false, ...asText },
  chat: { path: "/test.Echo/Chat", requestStream: true, responseStream: true, ...asText },
} satisfies ServiceDefinition;

export const EchoClient = makeGenericClientConstructor(definition, "Echo");

export const SERVICE_KEY = "the-service-key-of-this-test";

/** Serves `implementation` until the life that comes back with its port is closed. */
export async function startEcho(
  implementation: UntypedServiceImplementation,
  options: { port?: number } = {},
): Promise<{ life: Life; port: number }> {
  const life = openLife(testLog);
  const { port } = await startGrpcServer({
    host: "127.0.0.1",
    port: options.port ?? 0,
    serviceKey: SERVICE_KEY,
    services: [{ definition, implementation }],
    life,
  });
  return { life, port };
}
