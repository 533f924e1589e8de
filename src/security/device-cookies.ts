import { createHmac, timingSafeEqual } from 'node:crypto';

export interface DeviceCookiesNeeds {
  /** What cookies are signed with: the newest, which signs, first. Any verifies. */
  secrets(): readonly Buffer[];
}

/**
 * What a browser keeps to be known again at its next login: the id of the device, signed together with the account
 * that it logged in to. It names nobody and opens nothing: all it gives is a budget of tries of its own.
 */
export interface DeviceCookies {
  /** The device, if the cookie was made here for this account. What else it may be is no error. */
  read(cookie: string | undefined, account: string): string | undefined;
  write(deviceId: string, account: string): string;
}

/** 128 bits and 256 bits in base64url. */
const FORM = /^([\w-]{22})\.([\w-]{43})$/;

export function createDeviceCookies({ secrets }: DeviceCookiesNeeds): DeviceCookies {
  return {
    read(cookie, account) {
      const [, deviceId, signature] = FORM.exec(cookie ?? '') ?? [];
      if (deviceId === undefined || signature === undefined) return undefined;
      // As text: so only the one spelling that is written here is taken.
      const given = Buffer.from(signature);
      const isOurs = secrets().some((secret) =>
        timingSafeEqual(given, Buffer.from(sign(secret, deviceId, account))),
      );
      return isOurs ? deviceId : undefined;
    },
    write: (deviceId, account) => `${deviceId}.${sign(secrets()[0] as Buffer, deviceId, account)}`,
  };
}

const sign = (secret: Buffer, deviceId: string, account: string): string =>
  createHmac('sha256', secret).update(`${deviceId}.${account}`).digest('base64url');
