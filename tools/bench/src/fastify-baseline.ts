import { fastify } from "fastify";

/** A process of its own: Fastify that parses a body and sends it back, the floor under every HTTP figure. */
const app = fastify();
app.post("/", (request, reply) => reply.type("application/json").send(JSON.stringify(request.body)));
await app.listen({ host: "127.0.0.1", port: 0 });
process.send?.({ port: (app.server.address() as { port: number }).port });
process.on("disconnect", () => process.exit(0));
