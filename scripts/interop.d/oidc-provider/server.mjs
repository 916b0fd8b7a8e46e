// A certified OpenID provider (https://github.com/panva/node-oidc-provider) on loopback, for scripts/interop.
//
// In: its port, a directory with tls.crt, tls.key and jwks.json, the resource that its access tokens are for. Serves until
// it is ended. Client `countersign` gets ID tokens by the authorization code flow, in which everybody who asks is signed in
// as `workload`, and JWT access tokens (RFC 9068) by client_credentials. Prints a line per request.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const [port, directory, resource] = process.argv.slice(2);
const read = (name) => readFileSync(`${directory}/${name}`);
const self = `https://localhost:${port}`;

const provider = new Provider(self, {
  jwks: JSON.parse(read("jwks.json")),
  clients: [
    {
      client_id: "countersign",
      client_secret: "a-secret-between-two-processes-of-one-test",
      grant_types: ["authorization_code", "client_credentials"],
      redirect_uris: [`${self}/callback`],
      response_types: ["code"],
      id_token_signed_response_alg: "ES256",
    },
  ],
  pkce: { required: () => false },
  interactions: { url: () => "/sign-in" },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  loadExistingGrant: async ({ oidc }) => {
    const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid");
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: ({ oidc }) => (oidc.params.grant_type === "client_credentials" ? resource : undefined),
      getResourceServerInfo: () => ({
        scope: "use",
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});

provider.use(async (context, next) => {
  if (context.path === "/sign-in") {
    context.redirect(await provider.interactionResult(context.req, context.res, { login: { accountId: "workload" } }));
  } else if (context.path === "/callback") {
    context.body = context.query.code;
  } else {
    await next();
  }
  console.log(`${context.method} ${context.path} ${context.status}`);
});
createServer({ cert: read("tls.crt"), key: read("tls.key") }, provider.callback()).listen(Number(port), "127.0.0.1");
