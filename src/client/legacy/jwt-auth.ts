import { createOldFrontEnd, type OldUser } from './old-front-end.js';

interface Page {
  location: { pathname: string; search: string; replace(url: string): void };
  document: {
    readyState: string;
    querySelector(selector: string): object | null;
    addEventListener(event: 'DOMContentLoaded', listener: () => void): void;
  };
}

/** What NeuralFlow's routes say, whether it worked or not. */
interface Outcome {
  success: boolean;
  user?: OldUser;
  error?: string;
  errors?: unknown;
}

const API = '/accounts/api/auth';
const LOGIN_PAGE = '/templates/auth/jwt_login.html';
/** Pages for somebody signed in, besides those that say so: `<body data-jwt-protected>`. */
const PROTECTED = ['/core/enhanced-dashboard'];

const { location, document } = globalThis as unknown as Page;
const frontEnd = createOldFrontEnd();
const { keeper, root, post } = frontEnd;

const isProtected = (): boolean =>
  PROTECTED.some((path) => `${location.pathname}/`.startsWith(`${root}${path}/`)) ||
  document.querySelector('[data-jwt-protected]') !== null;

function redirectToLogin(): void {
  const here = location.pathname + location.search;
  location.replace(`${root}${LOGIN_PAGE}?next=${encodeURIComponent(here)}`);
}

/** Leads to the login page when nobody is signed in. */
function requireAuth(): boolean {
  const { authenticated } = keeper.state;
  if (!authenticated) redirectToLogin();
  return authenticated;
}

const protectPage = (): void => {
  if (isProtected()) requireAuth();
};

async function signIn(path: string, body: object): Promise<Outcome> {
  try {
    const response = await post(`${API}${path}`, body);
    const { access, refresh, ...outcome } = (await response.json()) as Outcome & {
      access?: string;
      refresh?: string;
    };
    if (!outcome.success || !access || !refresh) return { ...outcome, success: false };
    frontEnd.begin({ access, refresh }, outcome.user ?? null);
    return outcome;
  } catch (error) {
    return { success: false, error: (error as Error).message };
  }
}

/** The global of NeuralFlow. Signing in never throws: look at `success`. */
const jwtAuth = {
  login: (email: string, password: string): Promise<Outcome> => signIn('/login/', { email, password }),
  register: (fields: object): Promise<Outcome> => signIn('/register/', fields),
  /** `fetch` with the access token, which is renewed when it has to be. */
  apiRequest: (url: string, init?: RequestInit): Promise<Response> => frontEnd.fetch(url, init),
  async logout(): Promise<void> {
    try {
      await frontEnd.end(({ access, refresh }) => post('/api/auth/logout', { refresh }, access));
    } finally {
      protectPage();
    }
  },
  getUser: (): OldUser | null => frontEnd.user,
  ...frontEnd.shared,
  requireAuth,
};

Object.assign(globalThis, { jwtAuth });

keeper.on('ended', protectPage);
// Scripts in the head run before there is a body to ask.
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', protectPage);
else protectPage();
