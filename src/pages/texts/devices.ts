import type { Locale } from '../../contract/messages.js';

/** How the service names a device (`Firefox on Android`), in the language of the reader. */
export function sayDevice(device: string, locale: Locale): string {
  if (locale === 'en') return device;
  if (device === 'Unknown device') return 'دستگاه ناشناس';
  const [, program, platform] = /^(.+) on (.+)$/.exec(device) ?? [];
  return program && platform ? `${program} در ${platform}` : device;
}
