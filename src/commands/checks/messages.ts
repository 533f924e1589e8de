import type { Config } from '../../config.js';
import { GUARD } from '../../otp/otp-service.js';
import type { SpendReport } from '../../otp/otp-store.js';
import { count, type Finding, fail, ok, warn } from './finding.js';

/** What brings codes to phones, and links to mailboxes. */
export function checkDelivery(config: Pick<Config, 'sms' | 'email' | 'production' | 'host'>): Finding[] {
  return [
    checkChannel('sms', config.sms, config, 'nobody can sign in by phone'),
    checkChannel('email', config.email, config, 'nobody can reset a password by e-mail'),
  ];
}

function checkChannel(
  name: 'sms' | 'email',
  settings: { provider: string } | undefined,
  { production, host }: Pick<Config, 'production' | 'host'>,
  without: string,
): Finding {
  const variable = `${name.toUpperCase()}_PROVIDER`;
  if (!settings) return warn(name, `no provider: ${without}`, `Set ${variable}, or leave it at that.`);
  if (settings.provider !== 'console') return ok(name, settings.provider);
  if (!production && ['127.0.0.1', 'localhost', '::1'].includes(host)) {
    return ok(name, 'console: messages are shown on this machine');
  }
  return warn(
    name,
    'console: messages are shown on this machine, and reach nobody',
    `Set ${variable} to whoever brings them to people.`,
  );
}

/**
 * What the spend guard saw today, and what its mode makes of it. `suspected`: the sends of the last 24 hours that it
 * found suspicious. It keeps no list of addresses, so that what they did shows there alone.
 */
export function checkSpend(
  { otp, sms }: Pick<Config, 'otp' | 'sms'>,
  { countries, total }: SpendReport,
  suspected: number,
): Finding {
  const name = 'spend guard';
  const { spendGuard: mode, dailyCap } = otp;
  if (!sms) return ok(name, 'no codes are sent');
  if (mode === 'off') {
    return warn(
      name,
      `off: ${count(total, 'code was', 'codes were')} sent today, and nobody looks.`,
      'Whoever owns numbers abroad earns by each code. Set OTP_SPEND_GUARD=record, or deny.',
    );
  }
  if (dailyCap !== undefined && total >= dailyCap) {
    const detail = `${count(total, 'code')} sent today, and OTP_DAILY_CAP is ${dailyCap.toLocaleString('en')}`;
    return mode === 'deny'
      ? fail(
          name,
          `${detail}: nobody is sent one any more today.`,
          'Raise OTP_DAILY_CAP if these were people; otherwise find out who asks for them.',
        )
      : warn(name, `${detail}: they go out all the same.`, 'OTP_SPEND_GUARD=deny would stop them.');
  }
  const suspicious = countries.filter(
    ({ sends, verified }) => sends >= GUARD.minPerCountry && verified < GUARD.minVerifiedRatio * sends,
  );
  if (suspicious.length > 0) {
    const list = suspicious.map((each) => `${each.country} (${each.sends} sent, ${each.verified} typed)`);
    return warn(
      name,
      `Suspicious today: ${list.join(', ')}; ${mode === 'deny' ? 'refused until tomorrow' : 'sent all the same'}.`,
      mode === 'deny'
        ? 'Where these are people the messages may not arrive: ask the provider.'
        : 'Set OTP_SPEND_GUARD=deny to refuse them, or OTP_COUNTRIES to serve only your own.',
    );
  }
  if (suspected > 0) {
    const what = `${count(suspected, 'request')} for codes looked suspicious in the last 24 hours`;
    return warn(
      name,
      `${mode}: ${count(total, 'code')} sent today; ${what}${mode === 'deny' ? '' : ', and nothing was refused for it'}.`,
      'The log says by what (sends of codes look like fraud), and the events from which addresses.',
    );
  }
  return ok(name, `${mode}: ${count(total, 'code')} sent today, nothing suspicious`);
}
