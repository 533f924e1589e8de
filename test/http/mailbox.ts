import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { type Delivered, type MailServer, mailServer } from '../delivery/mail-server.js';

/** An e-mail as its reader sees it. */
export interface Mail {
  to: string;
  subject: string;
  text: string;
  /** The link in it, if there is one. */
  link: URL | undefined;
}

/** All the mailboxes of the world. */
export interface Mailboxes {
  /** Settings that make the service send its e-mails here. */
  readonly env: Record<string, string>;
  readonly server: MailServer;
  /** What arrived at this address so far, oldest first. */
  inbox(to: string): Mail[];
  /** Those with a link that does something. */
  links(to: string): Mail[];
  /** Waits for the first, second, … message. */
  mail(to: string, count?: number): Promise<Mail>;
  /** Waits for the token of the first, second, … link. */
  token(to: string, count?: number): Promise<string>;
}

export async function mailboxes(t: Pick<Test, 'teardown'>): Promise<Mailboxes> {
  const server = await mailServer(t);
  const inbox = (to: string): Mail[] => server.delivered.filter((each) => each.to.includes(to)).map(readMail);
  const links = (to: string): Mail[] => inbox(to).filter(({ link }) => link?.searchParams.has('token'));
  const wait = async (to: string, list: (to: string) => Mail[], count: number): Promise<Mail> => {
    for (const deadline = Date.now() + 10_000; list(to).length < count; await delay(2)) {
      if (Date.now() > deadline) throw new Error(`e-mail ${count} to ${to} did not arrive`);
    }
    return list(to)[count - 1] as Mail;
  };
  return {
    env: {
      EMAIL_PROVIDER: 'smtp',
      SMTP_URL: `smtp://127.0.0.1:${server.port}`,
      EMAIL_FROM: 'Latchkey <no-reply@example.com>',
    },
    server,
    inbox,
    links,
    mail: (to, count = 1) => wait(to, inbox, count),
    async token(to, count = 1) {
      const { link } = await wait(to, links, count);
      return link?.searchParams.get('token') as string;
    },
  };
}

/** The plain text is the first part, which says how it is written. */
function readMail({ to, raw }: Delivered): Mail {
  const subject = /^Subject: (.*)$/m.exec(raw)?.[1] ?? '';
  const [, head = '', body = ''] =
    /Content-Type: text\/plain([\s\S]*?)\r\n\r\n([\s\S]*?)\r\n--/.exec(raw) ?? [];
  const text = /base64/i.test(head)
    ? Buffer.from(body, 'base64').toString()
    : Buffer.from(
        body
          .replace(/=\r\n/g, '')
          .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
        'latin1',
      ).toString();
  const url = /https?:\/\/\S+/.exec(text)?.[0];
  return { to: to[0] as string, subject, text, link: url === undefined ? undefined : new URL(url) };
}
