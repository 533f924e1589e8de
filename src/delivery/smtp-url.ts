import { isLoopback, readAddress } from '../lib/network.js';

export interface SmtpServer {
  host: string;
  port: number;
  /**
   * `implicit`: from the first byte (RFC 8314). `starttls`: asked for before anything else is said, and nothing is
   * said without it. `off`: in clear text.
   */
  tls: 'implicit' | 'starttls' | 'off';
  user: string | undefined;
  password: string | undefined;
}

/** RFC 8314 §3.3: whoever listens there speaks TLS, whatever the URL calls it. */
const IMPLICIT_TLS_PORT = 465;
const SUBMISSION_PORT = 587;

const FORM =
  'the SMTP URL must be smtp://user:password@host:port, or smtps://, percent-encoded, and ?tls=off or ?tls=required behind it at most';

/**
 * Reads where mail is handed in. Messages hold links that open accounts, so what leaves this machine is encrypted,
 * and by a certificate that Node trusts (`NODE_EXTRA_CA_CERTS` adds a private authority); only `?tls=off` sends them
 * and the password in clear text. On this machine it is the other way round: `?tls=required` asks for STARTTLS there.
 * @throws Error that does not quote the URL
 */
export function readSmtpUrl(text: string): SmtpServer {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isImplicit = url?.protocol === 'smtps:';
  if (!url || !(isImplicit || url.protocol === 'smtp:') || !url.hostname) throw new Error(FORM);
  if (!/^\/?$/.test(url.pathname) || url.hash) throw new Error(FORM);

  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port ? Number(url.port) : isImplicit ? IMPLICIT_TLS_PORT : SUBMISSION_PORT;
  const wish = readWish(url);
  if (isImplicit && wish === 'off') throw new Error(FORM);
  const user = decode(url.username);
  const password = decode(url.password);
  if ((user === undefined) !== (password === undefined)) throw new Error(FORM);
  const tls = pickTls();
  return { host: tls === 'off' ? pinLocalhost(host) : host, port, tls, user, password };

  function pickTls(): SmtpServer['tls'] {
    if (isImplicit) return 'implicit';
    if (wish === 'off') return 'off';
    if (port === IMPLICIT_TLS_PORT) return 'implicit';
    return wish === undefined && isThisMachine(host) ? 'off' : 'starttls';
  }
}

function readWish({ searchParams }: URL): 'off' | 'required' | undefined {
  const [first, ...rest] = searchParams;
  if (!first) return undefined;
  const [name, value] = first;
  if (rest.length > 0 || name !== 'tls' || (value !== 'off' && value !== 'required')) throw new Error(FORM);
  return value;
}

function decode(part: string): string | undefined {
  try {
    return part === '' ? undefined : decodeURIComponent(part);
  } catch {
    throw new Error(FORM);
  }
}

const isLocalhost = (host: string): boolean => host.toLowerCase() === 'localhost';

function isThisMachine(host: string): boolean {
  const address = readAddress(host);
  return address ? isLoopback(address) : isLocalhost(host);
}

/** Nodemailer asks DNS before the hosts file, and DNS may say that it is another machine. */
const pinLocalhost = (host: string): string => (isLocalhost(host) ? '127.0.0.1' : host);
