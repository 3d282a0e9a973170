import { meteringV1 } from "@tollgate/contracts";
import { callUnary, type Life, openGrpcClient, serviceMetadata } from "@tollgate/service";

export type UsageFields = Partial<meteringV1.GetUsageRequest>;

export interface MeteringClient {
  getUsage(this: void, fields: UsageFields): Promise<meteringV1.GetUsageResponse>;
  putRateCard(
    this: void,
    card: Partial<meteringV1.RateCard>,
    rerate?: boolean,
  ): Promise<meteringV1.PutRateCardResponse>;
  listRateCards(this: void): Promise<meteringV1.RateCard[]>;
  startRating(this: void, fields: Partial<meteringV1.StartRatingRequest>): Promise<meteringV1.Rating>;
  listRatings(this: void, tenant?: string): Promise<meteringV1.Rating[]>;
  getChargeback(
    this: void,
    fields: Partial<meteringV1.GetChargebackRequest>,
  ): Promise<meteringV1.GetChargebackResponse>;
}

/** A metering service, as the gateway calls it. */
export function openMeteringClient(options: { port: number; serviceKey: string; life: Life }): MeteringClient {
  const { port, serviceKey, life } = options;
  const address = `127.0.0.1:${port}`;
  const client = openGrpcClient(meteringV1.MeteringServiceClient, { address, name: "metering", life });
  const unary = { metadata: serviceMetadata(serviceKey), timeoutMs: 15_000, service: "metering" };
  return {
    getUsage: (fields) =>
      callUnary(client.getUsage.bind(client), { ...meteringV1.GetUsageRequest.fromPartial({}), ...fields }, unary),
    putRateCard: (fields, rerate = false) => {
      const card = { ...meteringV1.RateCard.fromPartial({}), currency: "USD", createdBy: "token:finance", ...fields };
      return callUnary(client.putRateCard.bind(client), { card, rerate }, unary);
    },
    listRateCards: async () => (await callUnary(client.listRateCards.bind(client), {}, unary)).cards,
    startRating: async (fields) => {
      const asked = { ...meteringV1.StartRatingRequest.fromPartial({}), by: "token:finance", ...fields };
      return (await callUnary(client.startRating.bind(client), asked, unary)).rating!;
    },
    listRatings: async (tenant = "") => (await callUnary(client.listRatings.bind(client), { tenant }, unary)).ratings,
    getChargeback: (fields) => {
      const asked = { ...meteringV1.GetChargebackRequest.fromPartial({}), ...fields };
      return callUnary(client.getChargeback.bind(client), asked, unary);
    },
  };
}
