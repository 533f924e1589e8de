import { createOldFrontEnd, type OldUser } from './old-front-end.js';

/** What the routes of the phone OTP system answer. */
interface Envelope<Data = Record<string, unknown>> {
  success: boolean;
  message: string;
  data: Data;
}

type SignedIn = Envelope<{ user: OldUser; tokens: { access: string; refresh: string } }>;

const API = '/api';
const frontEnd = createOldFrontEnd();
const { keeper, root, post } = frontEnd;

/** The envelope of a success; of a failure its message is thrown. */
async function open<Answer extends Envelope>(asked: Promise<Response>): Promise<Answer> {
  const response = await asked;
  const body = (await response.json().catch(() => ({}))) as Partial<Envelope> & { detail?: string };
  if (!response.ok || body.success === false) {
    throw new Error(body.message ?? body.detail ?? `HTTP ${response.status}`);
  }
  return body as Answer;
}

async function signIn(path: string, body: object): Promise<SignedIn> {
  const answer = await open<SignedIn>(post(`${API}${path}`, body));
  frontEnd.begin(answer.data.tokens, answer.data.user);
  return answer;
}

/** A request to a path below `/api` with the access token, which is renewed when it has to be. */
const apiRequest = (path: string, init?: RequestInit): Promise<Response> =>
  frontEnd.fetch(/^(https?:)?\/\//.test(path) ? path : `${root}${API}${path}`, withJson(init));

/** Text that is sent without a type is JSON. */
function withJson(init: RequestInit = {}): RequestInit {
  const headers = new Headers(init.headers);
  if (typeof init.body === 'string' && !headers.has('content-type'))
    headers.set('content-type', 'application/json');
  return { ...init, headers };
}

/** The global of the phone OTP system. Requests fail with an `Error` whose message is for people. */
const jwtClient = {
  sendOTP: (phone: string, purpose = 'login'): Promise<Envelope> =>
    open(post(`${API}/send-otp/`, { phone, purpose })),
  register: (phone: string, otp: string, first_name = '', last_name = ''): Promise<SignedIn> =>
    signIn('/register/', { phone, otp, first_name, last_name }),
  login: (phone: string, otp: string): Promise<SignedIn> => signIn('/login/', { phone, otp }),
  apiRequest,
  getProfile: (): Promise<Envelope> => open(apiRequest('/dashboard/')),
  async updateProfile(fields: object): Promise<Envelope> {
    const { session } = keeper;
    const answer = await open<Envelope<{ user?: OldUser }>>(
      apiRequest('/profile/', { method: 'PATCH', body: JSON.stringify(fields) }),
    );
    if (session && answer.data.user) await keeper.setUser(answer.data.user as never, session.sub);
    return answer;
  },
  async logout(): Promise<Envelope | undefined> {
    const response = await frontEnd.end(({ refresh }) => post(`${API}/logout/`, { refresh }));
    return response && open(Promise.resolve(response));
  },
  async logoutAll(): Promise<Envelope | undefined> {
    const response = await frontEnd.end(() => apiRequest('/logout-all/', { method: 'POST' }));
    return response && open(Promise.resolve(response));
  },
  getUserData: (): OldUser | null => frontEnd.user,
  ...frontEnd.shared,
};

Object.assign(globalThis, { jwtClient });
