import { meteringV1 } from "@tollgate/contracts";
import { callUnary, type Life, openGrpcClient, serviceMetadata } from "@tollgate/service";

export type UsageFields = Partial<meteringV1.GetUsageRequest>;

/** GetUsage of a metering service, as the gateway calls it. */
export function openMeteringClient(options: { port: number; serviceKey: string; life: Life }) {
  const { port, serviceKey, life } = options;
  const client = openGrpcClient(meteringV1.MeteringServiceClient, {
    address: `127.0.0.1:${port}`,
    name: "metering",
    life,
  });
  const metadata = serviceMetadata(serviceKey);
  return (fields: UsageFields): Promise<meteringV1.GetUsageResponse> =>
    callUnary(
      client.getUsage.bind(client),
      { ...meteringV1.GetUsageRequest.fromPartial({}), ...fields },
      { metadata, timeoutMs: 10_000, service: "metering" },
    );
}
