// Documents as public APIs have them, small.

const id = { name: "petId", in: "path", required: true, type: "integer", format: "int64" };

export const PETS_2_0 = {
  swagger: "2.0",
  info: { title: "Pets", version: "1.0.0" },
  host: "pets.example.com",
  basePath: "/v2/",
  schemes: ["https", "http"],
  consumes: ["application/json"],
  produces: ["application/json"],
  security: [{ apiKey: [] }],
  securityDefinitions: { apiKey: { type: "apiKey", in: "header", name: "X-Api-Key" } },
  parameters: { perPage: { name: "per_page", in: "query", type: "integer", maximum: 100, default: 20 } },
  paths: {
    "/pets": {
      get: {
        operationId: "listPets",
        tags: ["pets"],
        summary: "List pets",
        parameters: [
          { name: "tags", in: "query", type: "array", items: { type: "string" }, collectionFormat: "pipes" },
          { name: "ids", in: "query", type: "array", items: { type: "integer" }, collectionFormat: "multi" },
          { name: "colours", in: "query", type: "array", items: { type: "string" } },
          { name: "page", in: "query", type: "integer" },
          { $ref: "#/parameters/perPage" },
          { name: "x-api-key", in: "header", required: true, type: "string" },
        ],
        responses: { 200: { description: "Pets", schema: { type: "array", items: { $ref: "#/definitions/Pet" } } } },
      },
      post: {
        operationId: "addPet",
        parameters: [{ name: "pet", in: "body", required: true, schema: { $ref: "#/definitions/Pet" } }],
        responses: { 201: { description: "Added", schema: { $ref: "#/definitions/Pet" } } },
      },
    },
    "/pets/findByStatus": { get: { operationId: "findPetsByStatus", deprecated: true, responses: {} } },
    "/pets/{petId}": {
      parameters: [id],
      get: { operationId: "getPet", responses: { 200: { description: "", schema: { $ref: "#/definitions/Pet" } } } },
      post: {
        operationId: "renamePet",
        consumes: ["application/x-www-form-urlencoded"],
        parameters: [{ name: "name", in: "formData", type: "string", required: true }],
        responses: { 405: { description: "No" } },
      },
      delete: { responses: { 204: { description: "Gone" } } },
    },
    "/pets/{petId}/photo": {
      post: {
        operationId: "addPhoto",
        consumes: ["multipart/form-data"],
        parameters: [id, { name: "photo", in: "formData", type: "file" }],
        responses: {},
      },
    },
  },
  definitions: {
    Pet: {
      type: "object",
      required: ["id", "name"],
      properties: {
        id: { type: "integer", format: "int64", readOnly: true },
        name: { type: "string", maxLength: 50 },
        tags: { type: "array", items: { type: "string" } },
        owner: { $ref: "#/definitions/Owner" },
      },
    },
    Owner: {
      type: "object",
      properties: {
        name: { type: "string", "x-nullable": true },
        pets: { type: "array", items: { $ref: "#/definitions/Pet" } },
      },
    },
  },
};

export const SHOP_3_0 = {
  openapi: "3.0.3",
  info: { title: "Shop", version: "3" },
  servers: [{ url: "/api/{version}/", variables: { version: { default: "v3" } } }],
  security: [{ oauth: ["orders"] }],
  paths: {
    "/orders": {
      post: {
        operationId: "createOrder",
        summary: "Order something.",
        description: "Takes an order and starts its delivery.",
        parameters: [
          {
            name: "X-Request-Id",
            in: "header",
            description: "Repeats are recognised by it.",
            schema: { type: "string", format: "uuid" },
          },
        ],
        requestBody: { $ref: "#/components/requestBodies/Order" },
        responses: {
          default: { description: "Wrong" },
          201: {
            description: "Taken",
            content: { "application/json; charset=utf-8": { schema: { $ref: "#/components/schemas/Taken" } } },
          },
        },
      },
    },
    "/orders/{orderId}/payment": {
      post: {
        operationId: "pay",
        parameters: [{ name: "orderId", in: "path", required: true, schema: { type: "string" } }],
        requestBody: {
          required: true,
          content: {
            "application/xml": { schema: {} },
            "application/json": {
              schema: { oneOf: [{ $ref: "#/components/schemas/Card" }, { $ref: "#/components/schemas/Transfer" }] },
            },
          },
        },
        responses: { 204: { description: "Paid" } },
      },
    },
    "/orders/{id}": {
      patch: {
        operationId: "patchOrder",
        parameters: [
          { name: "id", in: "path", required: true, schema: { type: "string" } },
          { name: "id", in: "query", schema: { type: "string" } },
          { name: "filter[state]", in: "query", style: "deepObject", explode: true, schema: { type: "object" } },
          { name: "where", in: "query", content: { "application/json": { schema: { type: "object" } } } },
          { name: "session", in: "cookie", schema: { type: "string" } },
        ],
        requestBody: {
          required: true,
          content: { "application/merge-patch+json": { schema: { type: "object", additionalProperties: true } } },
        },
        responses: {},
      },
      get: {
        operationId: "track",
        servers: [{ url: "https://tracking.example.com/eu" }],
        security: [{}, { courier: [] }],
        parameters: [{ name: "id", in: "path", required: true, schema: { type: "string" } }],
        responses: {},
      },
    },
  },
  components: {
    securitySchemes: {
      oauth: {
        type: "oauth2",
        flows: { clientCredentials: { tokenUrl: "/oauth/token", scopes: { orders: "Everything about orders" } } },
      },
      courier: { type: "http", scheme: "basic" },
    },
    requestBodies: {
      Order: { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Order" } } } },
    },
    schemas: {
      Order: {
        allOf: [
          { type: "object", required: ["customer"], properties: { customer: { type: "string" } } },
          {
            type: "object",
            required: ["lines"],
            properties: {
              note: { allOf: [{ $ref: "#/components/schemas/Note" }], description: "For the driver" },
              lines: { type: "array", minItems: 1, items: { $ref: "#/components/schemas/Line" } },
            },
          },
        ],
      },
      Note: { type: "string", nullable: true },
      Line: {
        type: "object",
        required: ["sku"],
        properties: {
          sku: { type: "string" },
          amount: { type: "integer", minimum: 0, exclusiveMinimum: true },
          total: { type: "number", readOnly: true },
        },
      },
      Taken: {
        allOf: [
          { $ref: "#/components/schemas/Order" },
          {
            type: "object",
            required: ["id"],
            properties: { id: { type: "string" }, secret: { type: "string", writeOnly: true } },
          },
        ],
      },
      Card: { type: "object", required: ["card"], properties: { card: { type: "string" } } },
      Transfer: { type: "object", required: ["iban"], properties: { iban: { type: "string" } } },
    },
  },
};

export const LIBRARY_3_1 = {
  openapi: "3.1.0",
  info: { title: "Library", version: "1" },
  servers: [{ url: "https://library.example.com" }],
  security: [{ person: [] }],
  paths: {
    "/search": {
      get: {
        operationId: "search.books",
        security: [],
        parameters: [
          {
            name: "q",
            in: "query",
            required: true,
            description: "Words",
            schema: { $ref: "#/components/schemas/Query/$defs/words" },
          },
          {
            name: "sort",
            in: "query",
            schema: { $ref: "#/components/schemas/Query/$defs/order", description: "The order" },
          },
          { name: "cursor", in: "query", schema: { type: ["string", "null"] } },
          { name: "limit", in: "query", schema: { type: "integer" } },
        ],
        responses: {
          "2XX": {
            description: "Found",
            content: {
              "application/json": {
                schema: {
                  type: "object",
                  properties: {
                    items: { type: "array", items: { type: "object", properties: { title: { type: "string" } } } },
                    meta: { type: "object", properties: { next_cursor: { type: ["string", "null"] } } },
                  },
                },
              },
            },
          },
        },
      },
    },
    "/books/{isbn}": { get: { responses: {} } },
  },
  webhooks: { returned: { post: { responses: {} } } },
  components: {
    securitySchemes: { person: { type: "http", scheme: "bearer" } },
    schemas: {
      Query: {
        $defs: {
          words: { type: "string", minLength: 1 },
          order: { type: "string", enum: ["title", "year"], default: "title", not: { const: "x" } },
        },
      },
    },
  },
};
