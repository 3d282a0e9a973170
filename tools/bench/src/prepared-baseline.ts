import { fastify } from "fastify";

/** A process of its own: Fastify that reads a request and answers with the bytes that it was given, whatever it says. */
process.once("message", (text: string) => {
  const body = Buffer.from(text);
  void serve(body);
});

async function serve(body: Buffer): Promise<void> {
  const app = fastify();
  app.post("/", (_request, reply) => reply.type("application/json").send(body));
  await app.listen({ host: "127.0.0.1", port: 0 });
  process.send?.({ port: (app.server.address() as { port: number }).port });
}
process.on("disconnect", () => process.exit(0));
