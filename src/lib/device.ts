/** Longer than any browser's own; what follows is not looked at. */
const USER_AGENT_LIMIT = 512;

const UNKNOWN_DEVICE = 'Unknown device';

type Table = readonly (readonly [token: string, name: string])[];

/** Programs, known by how their user agent begins. */
const PROGRAMS: Table = [
  ['curl/', 'curl'],
  ['Wget/', 'Wget'],
  ['HTTPie/', 'HTTPie'],
  ['PostmanRuntime/', 'Postman'],
  ['insomnia/', 'Insomnia'],
  ['python-requests/', 'Python requests'],
  ['python-httpx/', 'Python HTTPX'],
  ['Python-urllib/', 'Python urllib'],
  ['Python/', 'Python aiohttp'],
  ['okhttp/', 'okhttp (Android)'],
  ['Dalvik/', 'Android app'],
  ['Dart/', 'Dart app'],
  ['Go-http-client/', 'Go client'],
  ['Java/', 'Java client'],
  ['Java-http-client/', 'Java client'],
  ['Apache-HttpClient/', 'Java client'],
  ['GuzzleHttp/', 'PHP Guzzle'],
  ['axios/', 'axios'],
  ['node', 'Node.js'],
  ['undici', 'Node.js'],
];

/** Every browser but Firefox claims to be Chrome or Safari as well, so those two come last. */
const BROWSERS: Table = [
  ['Edg/', 'Edge'],
  ['EdgA/', 'Edge'],
  ['EdgiOS/', 'Edge'],
  ['Edge/', 'Edge'],
  ['OPR/', 'Opera'],
  ['OPT/', 'Opera'],
  ['OPiOS/', 'Opera'],
  ['Opera', 'Opera'],
  ['SamsungBrowser/', 'Samsung Internet'],
  ['YaBrowser/', 'Yandex'],
  ['Vivaldi/', 'Vivaldi'],
  ['HuaweiBrowser/', 'Huawei Browser'],
  ['MiuiBrowser/', 'Mi Browser'],
  ['UCBrowser/', 'UC Browser'],
  ['DuckDuckGo/', 'DuckDuckGo'],
  ['Ddg/', 'DuckDuckGo'],
  ['Firefox/', 'Firefox'],
  ['FxiOS/', 'Firefox'],
  ['CriOS/', 'Chrome'],
  ['Chrome/', 'Chrome'],
  ['Chromium/', 'Chrome'],
  ['Safari/', 'Safari'],
  ['Trident/', 'Internet Explorer'],
  ['MSIE ', 'Internet Explorer'],
];

/** Android says Linux too, and iOS says Mac OS X: the narrower name comes first. */
const PLATFORMS: Table = [
  ['Windows', 'Windows'],
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['iPod', 'iPod'],
  ['Android', 'Android'],
  ['CrOS', 'ChromeOS'],
  ['Macintosh', 'macOS'],
  ['Mac OS X', 'macOS'],
  ['Linux', 'Linux'],
];

/**
 * Names the device behind a `User-Agent` for a list of sessions, such as `Chrome on Windows`: at most 40
 * characters. Only names from the tables above are ever shown, because the header is the caller's to forge.
 */
export function describeDevice(userAgent: string | undefined): string {
  if (!userAgent) return UNKNOWN_DEVICE;
  const text = userAgent.slice(0, USER_AGENT_LIMIT);

  const program = PROGRAMS.find(([prefix]) => text.startsWith(prefix))?.[1];
  if (program) return program;
  // Apple's own HTTP stack: a native app on any of its systems.
  if (text.includes('CFNetwork/')) return 'Apple app';

  const browser = findName(BROWSERS, text);
  const platform = findName(PLATFORMS, text);
  if (browser && platform) return `${browser} on ${platform}`;
  return browser ?? platform ?? UNKNOWN_DEVICE;
}

function findName(table: Table, text: string): string | undefined {
  return table.find(([token]) => text.includes(token))?.[1];
}
