import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the API got, as it came. */
export interface PetsRequest {
  readonly method: string;
  /** With its query, escaped as it was. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface PetsApi {
  readonly url: string;
  readonly requests: PetsRequest[];
  /** `/flaky` answers so many times with 503 before it answers well. */
  failures: number;
  /** What `/private` wants to see, and what `/token` gives; each of its tokens is another one. */
  readonly tokens: string[];
  /** Requests of `/slow` whose client has gone. */
  readonly abandoned: string[];
  close(): Promise<void>;
}

const PETS = Array.from({ length: 10 }, (_each, index) => ({ id: index + 1, name: `pet ${index + 1}` }));
/** Whom `/token` knows. */
export const PETS_CLIENT = { id: "pets client", secret: "secret/of pets+client" };
const LIFETIME_SECONDS = 3_600;
const PNG = Buffer.from("89504e470d0a1a0a", "hex");

type Handler = (request: PetsRequest, response: ServerResponse, url: URL) => void;

/** An HTTP API of many manners, for connectors: lists in every kind of page, credentials, trouble. */
export async function startPetsApi(): Promise<PetsApi> {
  const server = createServer((request, response) => {
    void receive(request).then((received) => {
      api.requests.push(received);
      const url = new URL(received.path, api.url);
      const handle = handlers[url.pathname] ?? (url.pathname.startsWith("/echo") ? echo : onePet);
      handle(received, response, url);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const api: PetsApi = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    failures: 0,
    tokens: [],
    abandoned: [],
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
  const handlers = { ...LISTS, ...TROUBLE, ...handlersOf(api) };
  return api;
}

async function receive(request: IncomingMessage): Promise<PetsRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { method = "", url: path = "", headers } = request;
  return { method, path, headers, body: Buffer.concat(chunks).toString() };
}

function json(response: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}

const echo: Handler = (request, response) => json(response, request);

const onePet: Handler = ({ method, path }, response, { pathname }) => {
  const id = Number(/^\/pets\/(\d+)$/.exec(pathname)?.[1]);
  const pet = PETS.find((each) => each.id === id);
  if (pet === undefined) return json(response, { message: `there is nothing at ${path}` }, 404);
  if (method === "DELETE") return void response.writeHead(204).end();
  return json(response, pet);
};

const whole = (url: URL, name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise);

const LISTS: Readonly<Record<string, Handler>> = {
  "/pets": ({ method, body }, response, url) => {
    if (method === "POST") return json(response, { id: 11, ...(JSON.parse(body) as object) }, 201);
    const [page, limit] = [whole(url, "page", 1), whole(url, "limit", 3)];
    return json(response, { items: PETS.slice((page - 1) * limit, page * limit), page, total: PETS.length });
  },
  "/by-cursor": (_request, response, url) => {
    const from = whole(url, "cursor", 0);
    const to = from + whole(url, "limit", 4);
    json(response, { data: { pets: PETS.slice(from, to) }, meta: { next: to < PETS.length ? String(to) : null } });
  },
  "/by-offset": (_request, response, url) => {
    const from = whole(url, "offset", 0);
    json(response, PETS.slice(from, from + whole(url, "limit", 4)));
  },
  "/by-link": (_request, response, url) => {
    const page = whole(url, "page", 1);
    const next: Record<string, string> =
      page < 4 ? { link: `<?page=${page + 1}>; rel="next", <?page=1>; rel="first"` } : {};
    json(response, PETS.slice((page - 1) * 3, page * 3), 200, next);
  },
  "/next-is-elsewhere": (_request, response) =>
    json(response, { pets: PETS, next: "http://other.example/pets?page=2" }),
};

const TROUBLE: Readonly<Record<string, Handler>> = {
  "/redirect": (_request, response, url) => {
    response.writeHead(302, { location: url.searchParams.get("to") ?? "/pets/1" }).end();
  },
  "/huge": (_request, response, url) => json(response, { text: "x".repeat(whole(url, "bytes", 1_000_000)) }),
  "/broken": (_request, response) => void response.destroy(),
  "/half": (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
    response.write("{", () => response.destroy());
  },
  "/image": (_request, response) => void response.writeHead(200, { "content-type": "image/png" }).end(PNG),
  "/binary": (_request, response) => void response.writeHead(200, { "content-type": "application/zip" }).end(PNG),
  "/text": (_request, response) => {
    response.writeHead(200, { "content-type": "text/plain; charset=iso-8859-1" }).end(Buffer.from("caf\xe9", "latin1"));
  },
  "/exact": (_request, response) => {
    response
      .writeHead(200, { "content-type": "application/json" })
      .end('{ "id": 12345678901234567890,\n"price": 1.0 }');
  },
  "/list": (_request, response) => json(response, [1, 2]),
  "/zipped": (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end("{}");
  },
};

function handlersOf(api: PetsApi): Readonly<Record<string, Handler>> {
  return {
    "/flaky": (_request, response) => {
      if (api.failures <= 0) return json(response, { well: true });
      api.failures -= 1;
      return json(response, { well: false }, 503, { "retry-after": "0" });
    },
    "/slow": ({ path }, response) => void response.on("close", () => api.abandoned.push(path)),
    "/token": ({ headers, body }, response) => {
      const form = new URLSearchParams(body);
      const [user, password] = Buffer.from(headers.authorization?.slice("Basic ".length) ?? "", "base64")
        .toString()
        .split(":")
        .map((text) => decodeURIComponent(text.replaceAll("+", " ")));
      const id = form.get("client_id") ?? user;
      const secret = form.get("client_secret") ?? password;
      if (id !== PETS_CLIENT.id || secret !== PETS_CLIENT.secret)
        return json(response, { error: "invalid_client" }, 401);
      api.tokens.push(`token-of-pets-${api.tokens.length + 1}`);
      return json(response, {
        access_token: api.tokens.at(-1),
        expires_in: LIFETIME_SECONDS,
        scope: form.get("scope"),
      });
    },
    /** The newest token only: older ones are taken back. */
    "/private": ({ headers }, response) => {
      const known = api.tokens.at(-1);
      if (headers.authorization === `Bearer ${known}`) return json(response, { private: true });
      return json(response, { message: `${headers.authorization} is not known here` }, 401);
    },
  };
}
