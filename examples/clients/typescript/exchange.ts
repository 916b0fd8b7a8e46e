// Gets an access token with axios and URLSearchParams, as any OAuth 2 client would, and calls a service.
//
// In: BROKER_URL, SERVICE_URL, SERVICE_HOST (its Host header); and who we are: CLIENT_ID with CLIENT_SECRET, or the
// platform's own identity token in CLIENT_ASSERTION. With both, both are shown, one after the other.
import axios from "axios";

const http = axios.create({ timeout: 30_000, proxy: false });
const environment = process.env;

interface TokenAnswer {
  access_token: string;
  token_type: string;
  expires_in: number;
}

interface Echo {
  headers: Record<string, string>;
}

function forms(): URLSearchParams[] {
  const found: URLSearchParams[] = [];
  const { CLIENT_ID, CLIENT_SECRET, CLIENT_ASSERTION } = environment;
  if (CLIENT_ID && CLIENT_SECRET) {
    found.push(
      new URLSearchParams({
        grant_type: "client_credentials",
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
      }),
    );
  }
  if (CLIENT_ASSERTION) {
    found.push(
      new URLSearchParams({
        grant_type: "client_credentials",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: CLIENT_ASSERTION,
      }),
    );
  }
  return found;
}

async function call(headers: Record<string, string>): Promise<void> {
  const host = environment.SERVICE_HOST;
  const seen = await http.get<Echo>(environment.SERVICE_URL ?? "", {
    headers: host ? { Host: host, ...headers } : headers,
  });
  const user = seen.data.headers["x-countersign-user"];
  const scopes = seen.data.headers["x-countersign-scopes"];
  if (!user || !scopes) {
    throw new Error(`the service was not told who called: ${JSON.stringify(seen.data)}`);
  }
  console.log(`user=${user} scopes=${scopes}`);
}

async function main(): Promise<void> {
  const requests = forms();
  if (requests.length === 0) {
    throw new Error("set CLIENT_ID and CLIENT_SECRET, or CLIENT_ASSERTION");
  }
  for (const form of requests) {
    const answer = await http.post<TokenAnswer>(`${environment.BROKER_URL}/oauth2/token`, form);
    const token = answer.data.access_token;
    await call({ Authorization: `Bearer ${token}` });
    await call({ "X-Countersign-Auth": token });
  }
}

main().catch((error: unknown) => {
  // Not the error itself: axios puts the request, secret included, into it.
  const answer = axios.isAxiosError(error) && error.response ? JSON.stringify(error.response.data) : String(error);
  console.error(`failed: ${answer}`);
  process.exitCode = 1;
});
