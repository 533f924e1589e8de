import type { Config } from '../../config.js';
import { isInternal, isLoopback, readAddress } from '../../lib/network.js';
import { count, type Finding, fail, ok, warn } from './finding.js';
import { isAboutProxy } from './settings.js';

/** Fewer events say nothing. */
const EVENTS_ENOUGH = 50;
const NEARLY_ALL = 0.9;

type Kind = 'loopback' | 'internal' | 'public' | 'unknown';

interface AddressCount {
  address: string;
  events: number;
}

/**
 * Does TRUST_PROXY fit what is before this server? The last events show it: where nearly all of them seem to come from
 * one place they come from a proxy, and everybody shares its limits. No address is told, only what kind it is.
 */
export function checkClientAddress(
  { trustProxy, publicUrl, production }: Pick<Config, 'trustProxy' | 'publicUrl' | 'production'>,
  addresses: readonly AddressCount[],
): Finding {
  const name = 'client address';
  const events = addresses.reduce((sum, each) => sum + each.events, 0);
  const setting = `TRUST_PROXY=${trustProxy.mode === 'networks' ? 'networks' : trustProxy.mode}`;
  if (events < EVENTS_ENOUGH) return ok(name, `${setting}; too few events to judge it by`);
  const isLocal = isThisMachine(publicUrl.hostname) && !production;
  if (isLocal) return ok(name, `${setting}; this machine only`);

  const shareOf = (...kinds: Kind[]): number =>
    addresses
      .filter(({ address }) => kinds.includes(kindOf(address)))
      .reduce((sum, each) => sum + each.events, 0) / events;
  const ofLargest = Math.max(...addresses.map((each) => each.events)) / events;
  const last = `of the last ${count(events, 'event')}`;

  if (shareOf('unknown') > 1 - NEARLY_ALL) {
    return fail(
      name,
      `${percent(shareOf('unknown'))} ${last} have no address, with ${setting}.`,
      'The proxy does not write what TRUST_PROXY expects of it: see the README for what each value reads.',
    );
  }
  const isUntrusting = trustProxy.mode === 'none';
  if (shareOf('loopback') >= NEARLY_ALL) {
    return fail(
      name,
      `${percent(shareOf('loopback'))} ${last} come from this machine, with ${setting}: it is a proxy that asks.`,
      'Set TRUST_PROXY=127.0.0.0/8,::1/128, and let the proxy add X-Forwarded-For.',
    );
  }
  if (shareOf('loopback', 'internal') >= NEARLY_ALL) {
    const detail = `${percent(shareOf('loopback', 'internal'))} ${last} come from private addresses, with ${setting}.`;
    const advice = isUntrusting
      ? 'If that is a proxy everybody shares its limits: set TRUST_PROXY=alb or apigateway, or its networks.'
      : 'If that is one more proxy everybody shares its limits: add its networks to TRUST_PROXY.';
    return ofLargest >= NEARLY_ALL ? fail(name, detail, advice) : warn(name, detail, advice);
  }
  if (ofLargest >= NEARLY_ALL) {
    return warn(
      name,
      `${percent(ofLargest)} ${last} come from one public address, with ${setting}.`,
      'If that is a CDN everybody shares its limits: set TRUST_PROXY=cloudfront, or the networks of yours.',
    );
  }
  return ok(
    name,
    `${setting}; ${count(addresses.length, 'address', 'addresses')} in the last ${count(events, 'event')}`,
  );
}

/** Whether callers could make up an address; what else stands before the server nobody can see from here. */
export const checkForgery = ({ warnings }: Pick<Config, 'warnings'>): Finding[] =>
  warnings
    .filter(isAboutProxy)
    .map((warning) =>
      warn(
        'client address',
        warning,
        'Let nobody else in: a VPC origin, or a security group with the prefix list of CloudFront.',
      ),
    );

function kindOf(text: string): Kind {
  const address = readAddress(text);
  if (!address) return 'unknown';
  if (isLoopback(address)) return 'loopback';
  return isInternal(address) ? 'internal' : 'public';
}

const isThisMachine = (host: string): boolean =>
  host === 'localhost' || kindOf(host.replace(/^\[(.*)\]$/, '$1')) === 'loopback';

const percent = (share: number): string => `${Math.floor(share * 100)} %`;
