import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

export interface Network {
  address: Address;
  bits: number;
}

/**
 * An address; IPv4 as itself also where IPv6 wraps it, and without the zone, which means something to one machine
 * only. ipaddr.js alone would take a hop count for an address: `1` as 0.0.0.1.
 */
export function readAddress(text: string): Address | undefined {
  const [bare = ''] = text.split('%', 1);
  return isIP(bare) === 0 ? undefined : ipaddr.process(bare);
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. */
export function readNetwork(text: string): Network | undefined {
  const [host = '', length, ...rest] = text.split('/');
  const address = readAddress(host);
  if (!address || rest.length > 0) return undefined;
  const width = address instanceof ipaddr.IPv4 ? 32 : 128;
  if (length === undefined) return { address, bits: width };
  // The last 32 bits of an IPv6 address are those of the IPv4 address that it wraps.
  const bits = Number(length) - (host.includes(':') && width === 32 ? 96 : 0);
  return /^\d{1,3}$/.test(length) && bits >= 0 && bits <= width ? { address, bits } : undefined;
}

export const isInNetwork = (address: Address, { address: base, bits }: Network): boolean =>
  (address instanceof ipaddr.IPv4 && base instanceof ipaddr.IPv4 && address.match(base, bits)) ||
  (address instanceof ipaddr.IPv6 && base instanceof ipaddr.IPv6 && address.match(base, bits));

const INTERNAL = new Set(['loopback', 'private', 'linkLocal', 'carrierGradeNat', 'uniqueLocal']);

/** Whether no public host has this address: RFC 1918, 3927, 4193, 6598, and the machine itself. */
export const isInternal = (address: Address): boolean => INTERNAL.has(address.range());

export const isLoopback = (address: Address): boolean => address.range() === 'loopback';
